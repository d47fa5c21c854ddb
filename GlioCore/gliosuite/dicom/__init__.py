"""DICOM: a study in, maps out."""
