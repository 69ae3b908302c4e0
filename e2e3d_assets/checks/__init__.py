"""Asset checks: what must hold of each product. A name reads as the assertion that it makes."""
