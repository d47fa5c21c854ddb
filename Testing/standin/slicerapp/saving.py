"""A scene saved with all its data, closed, and loaded again, as the application does with an .mrb."""

import slicer


def save_and_load(folder, between=lambda: None):
    """Save the scene into a new folder and load it again; `between` is called while it is closed."""
    scene = slicer.mrmlScene
    folder.mkdir(parents=True)
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(folder), None)
    (file,) = folder.glob("*.mrml")
    scene.Clear(0)
    between()
    scene.SetURL(str(file))
    scene.SetRootDirectory(str(folder))
    assert scene.Import(None)
