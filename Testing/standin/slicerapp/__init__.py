"""Small stand-ins of our own for what only Slicer's desktop application has, around the real MRML of slicer-core."""
