"""What the report is made of: figures (:mod:`.summaries`), judgement (:mod:`.advice`), pictures, plots and the page."""
