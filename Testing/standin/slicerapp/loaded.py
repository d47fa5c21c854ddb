"""Nodes as Slicer's own loaders leave them: a DICOM series of many frames as MultiVolumeImporter's plugin loads it."""

import numpy as np
import slicer
import slicer.util

TAGS = {"tr_ms": "RepetitionTime", "te_ms": "EchoTime", "flip_angle_deg": "FlipAngle"}


def dicom_sequence(series, labels, name="DCE", tag="AcquisitionTime", unit="ms", attributes=True, **acquisition):
    """A DICOM series loaded as volume sequence, the application's default: sequence, browser, and proxy under a patient's study.

    The index is the frame's number, without name and unit; what was measured lies in attributes of the sequence.

    Parameters
    ----------
    series
        Frames and grid.
    labels
        ``MultiVolume.FrameLabels``, one number per frame.
    tag, unit
        What tells the frames apart, and its unit.
    attributes
        False for loaders that leave all ``MultiVolume.*`` out.
    acquisition
        ``tr_ms``, ``te_ms``, ``flip_angle_deg``.
    """
    from gliosuite.mrml.volumes import node_from_image

    scene, count = slicer.mrmlScene, series.n_times
    title = f"7: {name} - {count} frames Volume Sequence by {tag}"
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(title))
    sequence.SetIndexName("")
    sequence.SetIndexUnit("")
    frame = node_from_image(series.frame(0), title)
    for number in range(count):
        slicer.util.updateVolumeFromArray(frame, np.ascontiguousarray(series.frames[number]))
        frame.SetAttribute("DICOM.instanceUIDs", f"1.2.7.{number}.1 1.2.7.{number}.2")
        sequence.SetDataNodeAtValue(frame, str(number))
    scene.RemoveNode(frame.GetDisplayNode())
    scene.RemoveNode(frame)
    if attributes:
        for key, text in {
            "NumberOfFrames": str(count),
            "FrameLabels": ",".join(str(x) for x in labels),
            "FrameIdentifyingDICOMTagName": tag,
            "FrameIdentifyingDICOMTagUnits": unit,
            **{f"DICOM.{TAGS[k]}": str(v) for k, v in acquisition.items()},
        }.items():
            sequence.SetAttribute(f"MultiVolume.{key}", text)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(f"{title} browser"))
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSaveChanges(sequence, True)
    browser.SetOverwriteProxyName(sequence, True)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "patient")
    hierarchy.CreateItem(hierarchy.CreateStudyItem(patient, "study"), proxy)
    return sequence
