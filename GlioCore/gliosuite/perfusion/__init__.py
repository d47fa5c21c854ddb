"""DCE and DSC: from signal to maps."""
