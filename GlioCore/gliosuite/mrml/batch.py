"""A case without a screen: `gliosuite run`, and all that it makes in one scene file.

``Slicer --no-main-window --additional-module-paths GlioCore --python-script GlioCore/gliosuite/mrml/batch.py --case DIR --out DIR``; what
follows ``--`` goes to `gliosuite run`. Progress goes to stderr; the exit code is that of `gliosuite run`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a file: its own folder is on the path in place of the library's
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import slicer

from gliosuite.errors import InputError
from gliosuite.mrml.process import CancelledError, run
from gliosuite.mrml.results import load_results

SCENE = "scene.mrb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a case and save what it makes as ``OUT/scene.mrb``.

    Returns
    -------
    int
        0; 2 where the input cannot be used, 3 where the run lost something, 130 where it was cancelled, 1 otherwise.
    """
    parser = argparse.ArgumentParser("batch.py", description="Run a case and save its results as one scene (.mrb).")
    parser.add_argument("--case", required=True, help="case folder (case.json)")
    parser.add_argument("--out", required=True, help="folder of the results")
    parser.add_argument("more", nargs="*", help="options of gliosuite run, after --")
    given = parser.parse_args(arguments)
    say = lambda text: print(text, file=sys.stderr, flush=True)
    words = ["run", str(Path(given.case).resolve()), "--out", str(Path(given.out).resolve()), *given.more]
    try:
        summary = run(
            words, lambda fraction, text: say(f"{100 * fraction:3.0f} % {text}"), lambda s: say(f"warning: {s}")
        )
        load_results(given.out)
    except InputError as error:
        say(f"error: {error}")
        return 2
    except CancelledError:
        say("cancelled")
        return 130
    except RuntimeError as error:
        say(f"error: {error}")
        return 1
    scene = Path(given.out).resolve() / SCENE
    if not slicer.mrmlScene.WriteToMRB(str(scene)):
        say(f"error: {scene} could not be written")
        return 1
    say(f"{scene} written")
    return 3 if summary.get("losses") else 0


if __name__ == "__main__":
    slicer.util.exit(main(sys.argv[1:]))
