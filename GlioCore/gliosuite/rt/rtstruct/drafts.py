"""Structures that rest on drafts are called drafts in the file, until a person accepts them by name."""

from collections.abc import Sequence
from dataclasses import replace

from ...errors import option
from ...images import DRAFT
from .preflight import NAME_LENGTH, Finding
from .writing import Roi


def marked(
    rois: Sequence[Roi], label: str, accepted_by: str = "", before: Sequence[str] = ()
) -> tuple[list[Roi], str, list[Finding]]:
    """Structures and label of a set as they are to be written, and what the pre-flight list says of drafts.

    A draft's description begins with DRAFT, its algorithm is AUTOMATIC, and so does the label of a set that holds one begin; where a
    person has accepted the drafts, their descriptions say who. `before` are the names of drafts in a set that the structures are appended
    to; these stay as they are, and so does the label call them.
    """
    if before:
        told, label, findings = marked(rois, label, accepted_by)
        sentence = f"{', '.join(before)}: drafts of the set that is appended to, which stay such; write them anew to have them accepted"
        return told, _draft_label(label), [*findings, Finding("drafts", "warning", sentence)]
    drafts = [r.name for r in rois if r.draft]
    if not drafts:
        return list(rois), label, []
    names = ", ".join(drafts)
    if accepted_by:
        told = [
            replace(r, description=f"Draft accepted by {accepted_by}. {r.description}") if r.draft else r for r in rois
        ]
        return told, label, [Finding("drafts", "ok", f"{names}: drafts, accepted by {accepted_by}.")]
    told = [
        replace(r, description=f"{DRAFT}, not checked by a person. {r.description}", algorithm="AUTOMATIC")
        if r.draft
        else r
        for r in rois
    ]
    sentence = (
        f"{names}: drafts that no person has checked; the set is labelled {DRAFT} until {option('--drafts-accepted-by')} NAME says "
        "who has"
    )
    return told, _draft_label(label), [Finding("drafts", "warning", sentence)]


def _draft_label(label: str) -> str:
    if label == "GlioSuite" or label.startswith(DRAFT):
        return DRAFT if label == "GlioSuite" else label
    return f"{DRAFT} {label}"[:NAME_LENGTH].rstrip()
