"""What GlioRT does with nodes: segments by role, target volumes, their comparison, and the RT structure set."""
