"""The AIF of a DSC series: chosen, brought to concentration, scaled to a vein."""
