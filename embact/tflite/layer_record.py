"""The JSON record of a layer: ``kernels/<function>.json``, schema 1, and its digest.

Fields: schema; embact, the version that wrote it; layer, one of softmax, log_softmax, prelu, glu;
row_size, elements of a row of the output; then one of ``softmax`` (scale, beta, in_bits, out_bits,
mode, log), ``prelu`` (spec, slope, codes, reals) and ``glu`` (activation, parameters, expression,
grids, swapped, gate: the kernel file of an int16 gate, else null); digest; statement, what is
proved or tested; table_bytes. A reader makes the layer again from what was asked and takes nothing
else on trust: the digest is that of the constants it arrives at. This module must not know models.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from embact import __version__
from embact.activations import CATALOGUE, Activation, activation
from embact.errors import EmbactError
from embact.expression import parse
from embact.fit.record import fit_of_json, fit_record
from embact.grid import Grid, QuantSpec  # noqa: TC001 - msgspec reads the annotations at run time
from embact.nn.glu import Glu, Grids, table_gates, unit_of_fit
from embact.nn.glu_header import Proved
from embact.nn.glu_proof import best_of, certify_bound
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.layers import about, table_bytes
from embact.tflite.placement import is_swapped, rows_of

if TYPE_CHECKING:
    from embact.tflite.placement import LayerPlacement, Unit

SCHEMA = 1


@dataclass(frozen=True)
class PreluRecord:
    """A PReLU: grids of both sides and of the slopes, their codes, and what these stand for."""

    spec: QuantSpec
    slope: Grid
    codes: tuple[int, ...]
    reals: tuple[float, ...]


@dataclass(frozen=True)
class GluRecord:
    """A gated unit, a * activation(b). expression: the formula where the name is a user's."""

    activation: str
    parameters: dict[str, float]
    expression: str
    grids: Grids
    swapped: bool
    gate: dict[str, Any] | None


@dataclass(frozen=True)
class LayerRecord:
    """The document, field for field."""

    schema: int
    embact: str
    layer: str
    row_size: int
    softmax: Softmax | None
    prelu: PreluRecord | None
    glu: GluRecord | None
    digest: str
    statement: str
    table_bytes: int


@dataclass(frozen=True)
class StoredLayer:
    """A layer as a record gives it: the unit made again, and the shape of its rows."""

    unit: Unit
    row_size: int
    swapped: bool
    kind: str
    digest: str


def kind_of(unit: Unit) -> str:
    """Return what a layer is called in its record."""
    match unit:
        case Softmax():
            return unit.name
        case PreluLayer():
            return "prelu"
        case Proved():
            return "glu"


def layer_digest(one: LayerPlacement) -> tuple[str, str]:
    """Return a layer's kind and the digest of its constants: equal digests are equal functions."""
    rows = rows_of(one.site, one.unit)
    return kind_of(one.unit), digest_of(one.unit, rows, swapped=is_swapped(one.site))


def digest_of(unit: Unit, row_size: int, *, swapped: bool) -> str:
    """Return the SHA-256 of a unit's integers, its row size and the order of its operands, hex."""
    match unit:
        case Softmax():
            tables = [(table.name, table.values) for table in unit.tables]
            constants: list[Any] = [unit.function, unit.factor if unit.has_factor else (), tables]
        case PreluLayer():
            factors = [(factor.multiplier, factor.shift) for factor in unit.factors]
            offsets = unit.offsets.input, unit.offsets.output
            constants = [unit.spec.input.bits, offsets, unit.slope.zero_point, factors, unit.codes]
        case Proved():
            constants = [swapped, *_glu_constants(unit.unit)]
    text = msgspec.json.encode([kind_of(unit), row_size, *constants])
    return hashlib.sha256(text).hexdigest()


def _glu_constants(unit: Glu) -> list[Any]:
    grids = unit.grids
    offsets = grids.a.zero_point, grids.output.zero_point
    factor = unit.factor.multiplier, unit.factor.shift
    return [grids.bits, offsets, factor, unit.gate]


def layer_json(one: LayerPlacement) -> str:
    """Return a layer's record as JSON text: fixed order, indented, final newline."""
    kind, digest = layer_digest(one)
    unit = one.unit
    record = LayerRecord(
        schema=SCHEMA,
        embact=__version__,
        layer=kind,
        row_size=rows_of(one.site, unit),
        softmax=unit if isinstance(unit, Softmax) else None,
        prelu=_prelu(unit) if isinstance(unit, PreluLayer) else None,
        glu=_glu(unit.unit, is_swapped(one.site)) if isinstance(unit, Proved) else None,
        digest=digest,
        statement=about(unit),
        table_bytes=table_bytes(unit),
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"


def _prelu(unit: PreluLayer) -> PreluRecord:
    return PreluRecord(unit.spec, unit.slope, unit.codes, unit.reals)


def _glu(unit: Glu, swapped: bool) -> GluRecord:  # noqa: FBT001 - a field
    act = unit.activation
    return GluRecord(
        activation=act.name,
        parameters=dict(act.settings()),
        expression=act.expression or "",
        grids=unit.grids,
        swapped=swapped,
        gate=None if unit.kernel is None else fit_record(unit.kernel),
    )


def layer_of_json(text: bytes, *, where: str) -> StoredLayer:
    """Return the layer that a record holds, made again from what was asked.

    Raises EmbactError if the text is no record of this schema, names no or several layers, or if
    its digest is not the one of the layer made again.
    """
    try:
        record = msgspec.json.decode(text, type=LayerRecord)
        unit, swapped = _made(record)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, EmbactError) as error:
        raise EmbactError(
            "not the record of a layer", got=error, allowed="JSON of `embact convert`", where=where
        ) from None
    if record.schema != SCHEMA:
        raise EmbactError(
            "schema of a layer's record", got=record.schema, allowed=str(SCHEMA), where=where
        )
    digest = digest_of(unit, record.row_size, swapped=swapped)
    if digest != record.digest or kind_of(unit) != record.layer:
        raise EmbactError(
            "layer does not match its digest", got=record.digest, allowed=digest, where=where
        )
    return StoredLayer(unit, record.row_size, swapped, record.layer, digest)


def _made(record: LayerRecord) -> tuple[Unit, bool]:
    """Return the unit of a record, and whether its operands are swapped."""
    match record.softmax, record.prelu, record.glu:
        case Softmax() as asked, None, None:
            return asked, False
        case None, PreluRecord() as asked, None:
            return PreluLayer(asked.spec, asked.slope, asked.codes, asked.reals), False
        case None, None, GluRecord() as asked:
            return _made_glu(asked), asked.swapped
    raise EmbactError("layers in a record", allowed="one of softmax, prelu, glu")


def _made_glu(asked: GluRecord) -> Proved:
    act = _activation(asked)
    if asked.gate is None:
        return Proved(*best_of(table_gates(act, asked.grids)))
    gate = fit_of_json(msgspec.json.encode(asked.gate))
    if gate.activation.name != act.name or gate.activation.settings() != act.settings():
        raise EmbactError("gate of another activation", got=gate.activation.name, allowed=act.name)
    unit = unit_of_fit(asked.grids, gate)
    return Proved(unit, certify_bound(unit))


def _activation(asked: GluRecord) -> Activation:
    if asked.expression:
        return parse(asked.expression, asked.activation)
    if asked.activation not in CATALOGUE:
        raise EmbactError("gate", got=asked.activation, allowed="an entry of `embact list`")
    return activation(asked.activation, **asked.parameters)
