"""The only room that imports slicer: arrays and images to MRML nodes and back, and the module logics that work on nodes."""
