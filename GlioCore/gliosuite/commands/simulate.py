"""``gliosuite simulate``: a cohort of digital glioma patients."""

import argparse
from collections.abc import Callable
from typing import Any


def register(add: Callable) -> None:
    """Add this family's commands."""
    p = add("simulate", "write a cohort of simulated glioma patients with known truth")
    p.add_argument("--n", type=int, default=1, metavar="N", help="number of patients (default 1)")
    p.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="the cohort's seed, 0 or more; the same seed gives the same bytes (default 0)",
    )
    p.add_argument(
        "--out",
        required=True,
        metavar="COHORT",
        help="folder for <id>/case.json, truth/<id>/, outcomes.csv and cohort.json",
    )
    p.add_argument(
        "--preset",
        default="default",
        metavar="NAME",
        help="kind of cohort: default, compact, diffuse, random-field, null, shifted, visit-pairs, or a paper's: idh-grade, ve-foci, "
        "texture, habitats, arms; the last five and random-field have a twin without their effect, NAME-twin (default default)",
    )
    p.add_argument(
        "--grid-mm",
        type=float,
        default=1.0,
        metavar="MM",
        help="voxel size in mm of the truth and of T1c, 0.5 to 5 (default 1)",
    )
    p.add_argument(
        "--scans",
        default="structural,dce,dsc",
        metavar="LIST",
        help="comma-separated: structural, vfa (with a B1 map), dce, dsc, diffusion (ADC, FA), mrsi (default structural,dce,dsc)",
    )
    p.add_argument(
        "--without",
        default="",
        metavar="LIST",
        help="comma-separated effects to switch off: noise, bias, offset, motion, leakage, partial_volume, delay, texture, skull, b1, "
        "inflow, saturation, dispersion (default none)",
    )
    p.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="SCAN.SETTING=VALUE",
        help="another way to take a scan, e.g. dsc.preload=true or dce.frames=90; may be repeated (default the preset's scanner)",
    )
    p.add_argument(
        "--dicom", action="store_true", help="write all images as DICOM too, a study per visit (needs pydicom)"
    )
    p.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the patients; each takes up to 6 GiB at 1 mm (default 1)",
    )
    p.set_defaults(run=_simulate)


def _simulate(args: argparse.Namespace, progress: Callable[[float, str], None]) -> dict[str, Any]:
    from ..simulate.cohort import write_cohort

    listed = lambda text: tuple(s.strip() for s in text.split(",") if s.strip())
    return write_cohort(
        args.out,
        args.n,
        args.seed,
        args.preset,
        args.grid_mm,
        listed(args.scans),
        args.dicom,
        progress,
        args.workers,
        listed(args.without),
        args.protocol,
    )
