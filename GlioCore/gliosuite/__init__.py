"""GlioSuite's library: from a glioma study to perfusion maps, target volumes and a report. Research use only."""
