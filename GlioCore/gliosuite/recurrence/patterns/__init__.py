"""Local or distant recurrence from tables of radiomic features (Shim et al. 2021): selection, classifiers, their honest evaluation."""
