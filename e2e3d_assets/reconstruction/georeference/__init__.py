"""Where in the world a model stands, and how large it is, from what people measured: surveyed points and markers.

What belongs here: reading these measurements, and what they say of a model. Which of them is believed, and GPS, is in
:mod:`..sparse.alignment`.
"""
