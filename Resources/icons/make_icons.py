"""Draws GlioSuite.png and one icon per module (128 px, legible at 32): ``make icons``.

One motif: an axial brain with a tumour. Perfusion adds the bolus curve, recurrence the halo of a probability, RT the target's contours.
"""

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QGuiApplication, QImage, QPainter, QPainterPath, QPen, QRadialGradient

ROOT = Path(__file__).resolve().parents[2]
BACK, BRAIN, FOLD = QColor("#14202e"), QColor("#d5dde6"), QColor("#7d8b9b")
TUMOUR, CORE, LINE = QColor("#ff5a36"), QColor("#5a1a1a"), QColor("#28d7c4")
CENTER = QPointF(79, 53)  # of the tumour


def pen(color: QColor, width: float, dashed: bool = False) -> QPen:
    """A round pen."""
    result = QPen(color, width, Qt.SolidLine, Qt.RoundCap, Qt.RoundJoin)
    if dashed:
        result.setDashPattern([1.6, 1.5])
    return result


def ground(painter: QPainter) -> None:
    """Dark rounded square."""
    painter.setPen(Qt.NoPen)
    painter.setBrush(BACK)
    painter.drawRoundedRect(QRectF(2, 2, 124, 124), 24, 24)


def brain(painter: QPainter) -> None:
    """Two hemispheres seen from below, with the midline and a few folds."""
    painter.setPen(Qt.NoPen)
    painter.setBrush(BRAIN)
    painter.drawEllipse(QRectF(17, 11, 94, 106))
    painter.setBrush(Qt.NoBrush)
    painter.setPen(pen(FOLD, 4.5))
    painter.drawLine(QPointF(64, 11), QPointF(64, 42))
    painter.drawLine(QPointF(64, 88), QPointF(64, 117))
    for side in (-1, 1):
        path = QPainterPath(QPointF(64 + side * 7, 58))
        path.quadTo(QPointF(64 + side * 5, 70), QPointF(64 + side * 14, 80))
        painter.drawPath(path)


def tumour(painter: QPainter, radius: float = 15.0) -> None:
    """An enhancing ring around a dark core."""
    painter.setPen(pen(TUMOUR, 8.5))
    painter.setBrush(CORE)
    painter.drawEllipse(CENTER, radius, radius)


def contour(painter: QPainter, radius: float, color: QColor, dashed: bool = False) -> None:
    """A target's outline, kept inside the brain."""
    inside, around = QPainterPath(), QPainterPath()
    inside.addEllipse(QRectF(20, 14, 88, 100))
    around.addEllipse(CENTER, radius, radius)
    painter.setBrush(Qt.NoBrush)
    painter.setPen(pen(color, 6.5, dashed))
    painter.drawPath(around.intersected(inside))


def suite(painter: QPainter) -> None:
    """Brain, tumour, target."""
    brain(painter)
    tumour(painter)
    contour(painter, 32, LINE)


def core(painter: QPainter) -> None:
    """The brain alone."""
    brain(painter)


def perfusion(painter: QPainter) -> None:
    """The bolus passing: rise, fall, second pass."""
    brain(painter)
    path = QPainterPath(QPointF(12, 98))
    path.lineTo(QPointF(34, 98))
    path.cubicTo(QPointF(46, 98), QPointF(44, 26), QPointF(56, 26))
    path.cubicTo(QPointF(68, 26), QPointF(66, 84), QPointF(82, 80))
    path.cubicTo(QPointF(94, 77), QPointF(100, 88), QPointF(116, 88))
    painter.setBrush(Qt.NoBrush)
    painter.setPen(pen(BACK, 16))
    painter.drawPath(path)
    painter.setPen(pen(TUMOUR, 9))
    painter.drawPath(path)


def recurrence(painter: QPainter) -> None:
    """A probability around the tumour."""
    brain(painter)
    inside = QPainterPath()
    inside.addEllipse(QRectF(17, 11, 94, 106))
    painter.setClipPath(inside)
    halo = QRadialGradient(CENTER, 50)
    for where, color in ((0.0, "#ffd23f"), (0.35, "#ff7a2f"), (0.65, "#c2185b"), (0.9, "#6a1b9a"), (1.0, "#6a1b9a")):
        shade = QColor(color)
        shade.setAlpha(255 if where < 0.9 else (190 if where < 1.0 else 0))
        halo.setColorAt(where, shade)
    painter.setPen(Qt.NoPen)
    painter.setBrush(halo)
    painter.drawEllipse(CENTER, 50, 50)
    painter.setClipping(False)
    painter.setBrush(CORE)
    painter.setPen(pen(CORE, 2))
    painter.drawEllipse(CENTER, 11, 11)


def radiotherapy(painter: QPainter) -> None:
    """Tumour, target and the beam's cross."""
    brain(painter)
    tumour(painter, 10)
    contour(painter, 27, LINE)
    contour(painter, 43, QColor("#2f6fed"))


def draw(name: str, motif) -> None:
    """Draw at four times the size and scale down, so that edges are smooth at 128 and at 32 px."""
    image = QImage(512, 512, QImage.Format_ARGB32)
    image.fill(Qt.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.Antialiasing)
    painter.scale(4, 4)
    ground(painter)
    motif(painter)
    painter.end()
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.scaled(128, 128, Qt.KeepAspectRatio, Qt.SmoothTransformation).save(str(path))


def main() -> None:
    """All icons."""
    application = QGuiApplication([])
    draw("GlioSuite.png", suite)
    for module, motif in {
        "GlioCore": core,
        "GlioPerfusion": perfusion,
        "GlioRecurrence": recurrence,
        "GlioRT": radiotherapy,
    }.items():
        draw(f"{module}/Resources/Icons/{module}.png", motif)
    application.quit()


if __name__ == "__main__":
    main()
