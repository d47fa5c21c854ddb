"""What a person chooses from in GlioRT, as the panel's combo boxes say it. Nothing else: the module's file reads it as Slicer starts."""

NONE, PLACED, SEGMENTS, FOLDER = BARRIERS = ["none", "placed by registration", "a segmentation", "a folder"]
THRESHOLD, LIKE, VOLUME, SENSITIVITY = CUTS = ["a probability", "the volume of a scheme", "a volume", "a sensitivity"]
TO_FOLDER, TO_DATABASE = DESTINATIONS = ["a folder", "Slicer's DICOM database"]
