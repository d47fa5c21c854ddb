"""Transforms in HDF5 give the same bytes at any hour and still read."""

import platform
import time

import SimpleITK as sitk
from gliosuite.registration import write_transform
from gliosuite.registration.transforms import lookup3


def test_the_hash_is_jenkins():
    assert lookup3(b"Four score and seven years ago") == 0x17770551  # from the author's own test


def test_numbers_that_look_like_a_header_are_left_alone(tmp_path):
    import struct

    like_a_header = struct.unpack("<d", b"OHDR\x02\x20\x01\x40")[0]
    affine = sitk.AffineTransform(3)
    affine.SetParameters([1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0, like_a_header, 3.0, 4.0])
    spline = sitk.BSplineTransformInitializer(sitk.Image([20, 20, 20], sitk.sitkFloat32), [4, 5, 6], 3)
    spline.SetParameters([like_a_header] * len(spline.GetParameters()))
    for transform in (affine, spline):
        back = sitk.ReadTransform(str(write_transform(transform, tmp_path / "t.h5")))
        assert back.GetParameters() == transform.GetParameters()


def test_the_same_transform_gives_the_same_bytes_and_reads_back(tmp_path):
    field = sitk.Compose(*[sitk.Image([9, 9, 9], sitk.sitkFloat64) + v for v in (0.5, -0.25, 2.0)])
    spline = sitk.BSplineTransformInitializer(sitk.Image([20, 20, 20], sitk.sitkFloat32), [4, 5, 6], 3)
    spline.SetParameters([0.001 * i for i in range(len(spline.GetParameters()))])
    whole = sitk.CompositeTransform(
        [sitk.DisplacementFieldTransform(field), spline, sitk.Euler3DTransform((1, 2, 3), 0.1)]
    )
    point = whole.TransformPoint((4.0, 5.0, 6.0))
    first = write_transform(whole, tmp_path / "a.h5").read_bytes()
    time.sleep(1.1)  # the stamps count seconds
    second = write_transform(whole, tmp_path / "b.h5").read_bytes()
    assert first == second
    assert platform.release().encode() not in first
    assert sitk.ReadTransform(str(tmp_path / "a.h5")).TransformPoint((4.0, 5.0, 6.0)) == point
