"""The stable Python calls keep their import paths and their leading parameters, whatever room they stand in."""

import importlib
import inspect

import pytest

STABLE = {
    "perfusion.kinetics.parker_aif": ["times_s", "delay_s"],
    "perfusion.kinetics.tofts": ["times_s", "aif_plasma_mM", "ktrans", "ve", "delay_s", "aif_times_s"],
    "perfusion.kinetics.extended_tofts": ["times_s", "aif_plasma_mM", "ktrans", "ve", "vp", "delay_s", "aif_times_s"],
    "perfusion.kinetics.patlak": ["times_s", "aif_plasma_mM", "ps", "vp", "delay_s", "aif_times_s"],
    "perfusion.kinetics.two_cxm": ["times_s", "aif_plasma_mM", "fp", "ps", "ve", "vp", "delay_s", "aif_times_s"],
    "perfusion.kinetics.two_cum": ["times_s", "aif_plasma_mM", "fp", "ps", "vp", "delay_s", "aif_times_s"],
    "perfusion.signal.spgr_to_concentration": ["signal", "tr_s", "flip_angle_deg", "t10_s", "r1", "n_baseline"],
    "perfusion.signal.concentration_to_spgr": ["concentration_mM", "tr_s", "flip_angle_deg", "t10_s", "r1", "s0"],
    "perfusion.signal.signal_to_dr2star": ["signal", "te_s", "n_baseline"],
    "perfusion.t1.fit_vfa": ["signals", "flip_angles_deg", "tr_s", "b1", "device"],
    "perfusion.fit.fit_curves": ["curves_mM", "times_s", "aif_plasma_mM", "model", "delay", "aif_times_s", "bounds"],
    "perfusion.dsc.perfusion_maps": ["dr2star", "dt_s", "aif_dr2star", "leakage", "deconvolution", "reference"],
    "rt.margins.expand": ["mask", "margin_mm", "barriers"],
    "rt.compare.compare_ctv": ["ctv", "progression", "brain"],
    "rt.compare.progression_coverage": ["score", "progression", "brain", "volume_cc"],
    "rt.rtstruct.Roi": ["name", "mask", "interpreted_type", "color_rgb"],
    "rt.rtstruct.write_rtstruct": ["path", "series_dir", "rois", "label"],
    "rt.rtstruct.read_rtstruct": ["path", "series_dir"],
    "case.Case": [],
    "simulate.simulate_case": ["seed", "preset", "grid_mm", "scans"],
}


@pytest.mark.parametrize("call", STABLE)
def test_stable_calls_are_where_the_interface_says(call):
    module, name = call.rsplit(".", 1)
    function = getattr(importlib.import_module(f"gliosuite.{module}"), name)
    assert list(inspect.signature(function).parameters)[: len(STABLE[call])] == STABLE[call]
