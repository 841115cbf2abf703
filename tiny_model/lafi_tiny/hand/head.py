"""Draw a head: hair in six styles, a face with an expression, cap, crown, glasses and scarf."""

from lafi_tiny.hand.attributes import HAIR, RGB, SKIN, Identity
from lafi_tiny.hand.face import draw_face
from lafi_tiny.hand.pen import INK, Pen, Shape
from lafi_tiny.hand.pose import HEAD, Point, Skeleton

CAP: RGB = (24, 158, 164)
SCARF: RGB = (250, 134, 30)
CROWN: RGB = (250, 190, 30)


class Head:
    """Draws in figure units around the head's centre; x is positive where the figure faces."""

    def __init__(
        self, pen: Pen, identity: Identity, bones: Skeleton, view: str, expression: str
    ) -> None:
        self.pen, self.who, self.bones, self.view = pen, identity, bones, view
        self.expression = expression
        self.unit, self.mirror = bones.scale, bones.mirror
        self.hair, self.skin = HAIR[identity.hair], SKIN[identity.skin]
        self.capped = identity.accessory == "cap"

    def at(self, x: float, y: float) -> Point:
        """A point in figure units from the head's centre, in picture units."""
        head = self.bones.head
        return head[0] + x * self.mirror * self.unit, head[1] + y * self.unit

    def _shape(self, corners: list[tuple[float, float]], radius: float, colour: RGB) -> None:
        self.pen.shape([([self.at(*c) for c in corners], radius * self.unit)], colour)

    def _discs(self, discs: list[tuple[float, float, float]], colour: RGB) -> None:
        shape: Shape = [([self.at(x, y)], r * self.unit) for x, y, r in discs]
        self.pen.shape(shape, colour)

    def neck(self) -> None:
        """The neck, and the scarf around it."""
        x, y = self.bones.neck
        u, m = self.unit, self.mirror
        self.pen.shape([([(x, y - 1.5 * u), (x, y + 2.0 * u)], 3.6 * u)], self.skin)
        if self.who.accessory == "scarf":
            tail = [(x - m * 5.0 * u, y + 3 * u), (x - m * 7.2 * u, y + 13 * u)]
            self.pen.shape([(tail, 2.6 * u)], SCARF)
            band = [(x - 6.2 * u, y + 2.6 * u), (x + 6.2 * u, y + 2.6 * u)]
            self.pen.shape([(band, 3.4 * u)], SCARF)

    def hair_behind(self) -> None:
        """Hair that hangs behind the body."""
        if self.who.hairstyle != "long" or self.view == "back":
            return
        if self.view == "side":
            self._shape([(-9, -4), (-2, -4), (-4, 19), (-11, 19)], 4.5, self.hair)
        else:
            self._shape([(-10.5, -4), (10.5, -4), (12, 19), (-12, 19)], 4.5, self.hair)

    def draw(self) -> None:
        """Everything that belongs to the head."""
        self._hair_round()
        if self.view == "back":
            self._ears((-HEAD, HEAD))
            self._back_of_head()
        else:
            self._skull()
            self._fringe()
            draw_face(self.pen, self.at, self.unit, self.mirror, self.view, self.expression)
            if self.who.accessory == "glasses":
                self._glasses()
        self.on_top()

    def _back_of_head(self) -> None:
        u = self.unit
        shape: Shape = [([self.at(0, 0)], (HEAD + 0.6) * u)]
        if self.who.hairstyle == "long":
            corners = [self.at(*c) for c in ((-9.6, 0), (9.6, 0), (11, 19), (-11, 19))]
            shape = [*shape, (corners, 4.0 * u)]
        self.pen.shape(shape, self.hair)

    def on_top(self) -> None:
        """Cap or crown."""
        if self.capped:
            self._cap()
        if self.who.accessory == "crown":
            self._crown()

    def _ears(self, where: tuple[float, ...]) -> None:
        self._discs([(x, 2.0, 2.7) for x in where], self.skin)

    def _skull(self) -> None:
        if self.view == "front":
            self._ears((-HEAD + 0.4, HEAD - 0.4))
            self._discs([(0, 0, HEAD)], self.skin)
        else:
            self._discs([(0, 0, HEAD), (HEAD - 0.4, 2.6, 1.9)], self.skin)

    def _hair_round(self) -> None:
        """Hair that stands out beyond the skull, drawn before it."""
        style, back = self.who.hairstyle, self.view == "back"
        lean = -3.0 if self.view == "side" else 0.0
        if style == "short" and not self.capped:
            self._shape([(lean - 3, -13), (lean + 3.4, -17.4)], 1.9, self.hair)
        elif style == "bun" and not self.capped:
            self._discs([(lean, -17.5, 7.2)], self.hair)
        elif style == "spiky" and not self.capped:
            self._spikes(lean)
        elif style == "curly":
            low = [(-14, 5, 5.6), (14, 5, 5.6)] if self.view != "side" else [(-13, 6, 6.4)]
            high = [(-14, -4, 6.4), (14, -4, 6.4), (-9, -12, 7), (9, -12, 7), (0, -15, 7.4)]
            discs = low + ([(-14, -3, 6.4), (13, -3, 5.4)] if self.capped else high)
            self._discs([(x + 0.5 * lean, y, r) for x, y, r in discs], self.hair)
        elif style == "pigtails":
            sides = (-1,) if self.view == "side" else (-1, 1)
            for side in sides:
                self._shape([(side * 17, 1), (side * 19, 9)], 4.9, self.hair)
        if not back:
            self._discs([(0.4 * lean, -0.6, HEAD + 1.0)], self.hair)

    def _spikes(self, lean: float) -> None:
        tips = [(-19, -5), (-15, -16), (-5.5, -22.5), (5.5, -22.5), (15, -16), (19, -5)]
        for grow, colour in ((self.pen.line / self.unit, INK), (0.0, self.hair)):
            for x, y in tips:
                k = 1 + grow / 19
                bx, by = 0.42 * x, 0.42 * y
                wide = 6.2 + grow
                length = max(1.0, (x * x + y * y) ** 0.5)
                nx, ny = -y / length * wide, x / length * wide
                corners = [(x * k + lean, y * k), (bx + nx, by + ny), (bx - nx, by - ny)]
                self.pen.polygon([self.at(*c) for c in corners], colour)

    def _fringe(self) -> None:
        """The hair over the forehead, or over the back half of the head from the side."""
        r = HEAD * self.unit
        centre = self.at(0, 0)
        if self.view == "side":
            for start, stop in ((118, 291), (280, 332)):
                ends = (start, stop) if self.mirror > 0 else (180 - stop, 180 - start)
                self.pen.chord(centre, r, r, *ends, self.hair)
        elif self.who.hairstyle == "long":
            for side in (-1, 1):
                self._lock(side)
        else:
            turn = -9 * self.mirror
            self.pen.chord(centre, r, r, 194 + turn, 346 + turn, self.hair)

    def _lock(self, side: int) -> None:
        """One half of a parted fringe."""
        parting = (2.5, -HEAD + 0.6)
        corners = [parting, (side * 11.4, -6.4), (side * 12.4, 1.0), (side * 10.6, 1.5)]
        self.pen.polygon([self.at(*c) for c in corners], self.hair)
        r = HEAD * self.unit
        start, stop = (180, 270) if side * self.mirror < 0 else (270, 360)
        self.pen.chord(self.at(0, 0), r, r, start, stop, self.hair)

    def _glasses(self) -> None:
        u = self.unit
        centres = [(2.0 - 5.2, 1.0), (2.0 + 5.2, 1.0)] if self.view == "front" else [(6.8, 1.0)]
        for x, y in centres:
            r, k = 4.6 * u, 1.35 * u
            self.pen.arc(self.at(x, y), r, r, 0, 360, k)
        if self.view == "side":
            self.pen.stroke([self.at(2.4, 0.6), self.at(-3, 0.2)], 1.3 * u, INK)
        else:
            self.pen.stroke([self.at(1.4, 0.8), self.at(2.6, 0.8)], 1.3 * u, INK)

    def _cap(self) -> None:
        r, u = (HEAD + 1.9) * self.unit, self.unit
        centre = self.at(0, -1.6)
        grown = r + self.pen.line
        low = self.at(0, -4.4)
        if self.view != "back":
            reach = 21 if self.view == "side" else 17
            self._shape([(1, -5.6), (reach, -5.0)], 1.7, CAP)
        self.pen.chord(centre, grown, grown, 190, 350, INK)
        self.pen.chord(centre, r, r, 191, 349, CAP)
        self.pen.disc((low[0], centre[1] - r), 1.7 * u, CAP, ink=True)

    def _crown(self) -> None:
        points = [(-9, -10), (-10, -20.5), (-4.6, -15.4), (0, -22), (4.6, -15.4), (10, -20.5)]
        corners = [*points, (9, -10)]
        self._shape(corners, 0.5, CROWN)
        self._discs([(0, -12.2, 1.7)], (226, 58, 62))
