"""Target volumes: margins, comparison, RT structure sets."""
