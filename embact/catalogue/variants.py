"""Who means what by a name: what others call the catalogue's entries, and where texts disagree.

This module must not know what an entry computes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from embact.errors import EmbactError


@dataclass(frozen=True)
class Variant:
    """One meaning of a name.

    name: as people write it. entry: the catalogue's entry that it means there. who: who means it,
    and where. note: what to know about it, empty if there is nothing. settings: the parameters that
    it means, by name; the others have the entry's defaults.
    """

    name: str
    entry: str
    who: str
    note: str = ""
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def meant(self) -> str:
        """The entry with its settings, as ``clipped_relu(max=1)``."""
        listed = ", ".join(f"{name}={value:g}" for name, value in self.settings)
        return f"{self.entry}({listed})" if listed else self.entry


VARIANTS: tuple[Variant, ...] = (
    # One name, several functions
    Variant(
        "hard_sigmoid",
        "hard_sigmoid",
        "Keras 3, PyTorch, JAX, Howard et al. 2019",
        "relu6(x + 3)/6: slope 1/6",
    ),
    Variant(
        "hard_sigmoid",
        "hard_sigmoid_02",
        "Keras 1 and 2, Theano, ONNX by default",
        "slope 0.2: flat from -2.5 and 2.5 on",
    ),
    Variant(
        "hard_sigmoid",
        "hard_sigmoid_05",
        "Courbariaux et al. 2015, BinaryConnect",
        "slope 0.5: flat from -1 and 1 on",
    ),
    Variant(
        "sqnl",
        "sqnl",
        "Wuraola & Patel 2018",
        "the square nonlinearity: x - x|x|/4, and +-1 where |x| > 2",
    ),
    Variant("sqnl", "softsign", "some later texts", "x/(1 + |x|), which is Elliott's softsign"),
    Variant(
        "gelu", "gelu", "PyTorch, Keras, TensorFlow and ONNX by default; Hendrycks & Gimpel 2016"
    ),
    Variant(
        "gelu",
        "gelu_tanh",
        "JAX by default; TFLite, TensorFlow and Keras with approximate = true; BERT's and GPT-2's "
        "own code",
        "at most 4.8e-4 from gelu",
    ),
    Variant(
        "gelu",
        "gelu_sigmoid",
        "OpenAI's CLIP; the second approximation of Hendrycks & Gimpel 2016",
        "at most 0.0204 from gelu",
    ),
    Variant("swish", "swish", "Ramachandran, Zoph & Le 2017", "beta is learnt or chosen"),
    Variant("swish", "silu", "Keras, TensorFlow, JAX", "beta 1, where it is Elfwing's SiLU"),
    Variant(
        "relu1",
        "relu_n1_to_1",
        "TFLite's kernel of RELU_N1_TO_1",
        "-1 to 1, the same as hard_tanh",
    ),
    Variant(
        "relu1",
        "clipped_relu",
        "TFLite's former custom op; texts on quantised networks",
        "0 to 1",
        (("max", 1.0),),
    ),
    Variant("shrink", "hard_shrink", "ONNX by default", "bias 0"),
    Variant("shrink", "soft_shrink", "ONNX with a bias equal to lambd"),
    # One function, several parameters
    Variant("leaky_relu", "leaky_relu", "TensorFlow, and Keras' function"),
    Variant("leaky_relu", "leaky_relu", "PyTorch, JAX and ONNX by default", "", (("alpha", 0.01),)),
    Variant("leaky_relu", "leaky_relu", "Keras' layer by default", "", (("alpha", 0.3),)),
    Variant(
        "lrelu", "leaky_relu", "Maas, Hannun & Ng 2013", "their slope is 0.01", (("alpha", 0.01),)
    ),
    Variant(
        "prelu",
        "leaky_relu",
        "He et al. 2015",
        "with one learnt slope; a slope for each channel is no function of one number",
        (("alpha", 0.25),),
    ),
    Variant(
        "clipped_relu", "clipped_relu", "Hannun et al. 2014, Deep Speech", "", (("max", 20.0),)
    ),
    Variant(
        "softplus",
        "softplus",
        "PyTorch",
        "it is x where beta x > 20, which is at most 2.1e-9/beta off",
    ),
    Variant(
        "relu",
        "thresholded_relu",
        "Keras' relu with threshold = theta",
        "with max_value and negative_slope it is clipped_relu and leaky_relu",
    ),
    # Names that are easily taken for one another
    Variant("threshold", "threshold", "PyTorch, Keras 3", "any value up to the threshold"),
    Variant(
        "thresholded_relu",
        "thresholded_relu",
        "Konda et al. 2014, as TRec; Keras' ThresholdedReLU, ONNX ThresholdedRelu",
        "0 up to theta, then x: it jumps; the same as threshold with value 0",
    ),
    Variant(
        "sparse_relu",
        "sparse_relu",
        "Price et al. 2024, as the shifted ReLU",
        "0 up to the threshold, then x - threshold: no jump",
    ),
    Variant(
        "fatrelu", "thresholded_relu", "Kurtz et al. 2020", "they keep x = theta itself as well"
    ),
    Variant("elu", "elu", "Clevert et al. 2015", "alpha (exp(x) - 1) below 0"),
    Variant(
        "celu",
        "celu",
        "Barron 2017",
        "alpha (exp(x/alpha) - 1) below 0: no kink for any alpha; the same as elu where alpha is 1",
    ),
    Variant("selu", "selu", "Klambauer et al. 2017", "1.0507 times elu with alpha 1.6733, fixed"),
    Variant("isru", "isru", "Carlile et al. 2017", "S-shaped; TensorFlow and PyTorch lack it"),
    Variant("isrlu", "isrlu", "Carlile et al. 2017", "isru below 0, and x above"),
    Variant("squareplus", "squareplus", "Barron 2021", "b 4 has softplus' curvature; 0 is relu"),
    Variant("rrelu", "rrelu", "PyTorch in evaluation", "while it trains the slope is random"),
    Variant("hard_tanh", "hard_tanh", "PyTorch Hardtanh", "by default relu_n1_to_1"),
    # Other names
    Variant("adaptive_piecewise_linear", "apl", "Agostinelli et al. 2014"),
    Variant("bounded_relu", "clipped_relu", "Liew, Khalil-Hani & Bakhteri 2016"),
    Variant("clip", "hard_tanh", "ONNX, numpy, JAX", "with its min and max"),
    Variant("clamp", "hard_tanh", "PyTorch", "with its min and max"),
    Variant("elliott", "softsign", "Elliott 1993"),
    Variant("exponential", "exp", "Keras"),
    Variant("gelu_fast", "gelu_tanh", "Hugging Face"),
    Variant("gelu_new", "gelu_tanh", "Hugging Face"),
    Variant("gelu_pytorch_tanh", "gelu_tanh", "Hugging Face"),
    Variant("quick_gelu", "gelu_sigmoid", "CLIP, Hugging Face"),
    Variant("h_sigmoid", "hard_sigmoid", "Howard et al. 2019"),
    Variant("h_swish", "hard_swish", "Howard et al. 2019"),
    Variant("hard_silu", "hard_swish", "Keras 3, JAX"),
    Variant("hardswish", "hard_swish", "PyTorch, ONNX"),
    Variant("hardshrink", "hard_shrink", "PyTorch"),
    Variant("htanh", "hard_tanh", "texts on binarised networks"),
    Variant(
        "shifted_relu",
        "sparse_relu",
        "Price et al. 2024",
        "max(0, x - t); in Clevert et al. 2015 it is max(-1, x), which is none of ours",
    ),
    Variant("trec", "thresholded_relu", "Konda, Memisevic & Krueger 2014"),
    Variant("linear", "identity", "Keras, TFLite"),
    Variant("logistic", "sigmoid", "TFLite, statistics"),
    Variant("logsigmoid", "log_sigmoid", "PyTorch"),
    Variant("rectifier", "relu", "older texts"),
    Variant("relu_0_to_1", "clipped_relu", "TFLite", "", (("max", 1.0),)),
    Variant("sil", "silu", "Elfwing, Uchibe & Doya 2017"),
    Variant("smooth_relu", "softplus", "older texts"),
    Variant("soft_thresholding", "soft_shrink", "signal processing"),
    Variant("hard_thresholding", "hard_shrink", "signal processing"),
    Variant("softshrink", "soft_shrink", "PyTorch"),
    Variant("sparse_sigmoid", "hard_sigmoid_05", "Keras 3"),
    Variant("tanhshrink", "tanh_shrink", "PyTorch"),
)
"""Meanings of names that are not plainly that of one entry."""

ELSEWHERE: dict[str, str] = {
    "softmax": "`embact softmax`",
    "log_softmax": "`embact softmax --log`",
    "argmax": "nothing: codes have the largest element where the reals have it",
    "prelu": "`embact prelu`",
    "glu": "`embact glu --gate sigmoid`",
    "swiglu": "`embact glu --gate silu`",
    "geglu": "`embact glu --gate gelu`",
    "reglu": "`embact glu --gate relu`",
    "gates": "`embact gates`",
    "lstm": "`embact gates`",
    "gru": "`embact gates`",
}
"""What is no function of one number by itself, and what writes its C instead."""


def plain(name: str) -> str:
    """Return a name without what spellings differ in: ``Hard-Swish`` is ``hardswish``."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def meanings(name: str) -> tuple[Variant, ...]:
    """Return what a name means to whom, however it is spelled: ``Hard-Swish`` is ``hardswish``.

    >>> [variant.meant for variant in meanings("ReLU1")]
    ['relu_n1_to_1', 'clipped_relu(max=1)']
    """
    return tuple(variant for variant in VARIANTS if plain(variant.name) == plain(name))


def elsewhere(name: str) -> str:
    """Return what writes the C of something that is no function of one number, or "".

    >>> elsewhere("LogSoftmax")
    '`embact softmax --log`'
    """
    return {plain(known): words for known, words in ELSEWHERE.items()}.get(plain(name), "")


def meant(name: str, meaning: str) -> Variant:
    """Return the meaning of a name, given as it is listed: ``entry`` or ``entry(parameter=value)``.

    An entry alone is the meaning without settings, or the only one that there is of that entry.
    Raises EmbactError, with those that there are, if it is neither, or nobody is known to mean it.
    """
    known = meanings(name)
    if read := _read(meaning):
        entry, settings = read
        same = [variant for variant in known if variant.entry == entry]
        exact = [variant for variant in same if dict(variant.settings) == settings]
        # the same meaning may be listed of several spellings or people
        if exact or (not settings and len(same) == 1):
            return (exact or same)[0]
    raise EmbactError(
        f"variant of {name}",
        got=repr(meaning),
        allowed=", ".join(dict.fromkeys(variant.meant for variant in known))
        or "none: `embact list --variants` has the names that have some",
    )


def _read(meaning: str) -> tuple[str, dict[str, float]] | None:
    """Return the entry and the settings of a meaning as it is listed, or None if it is no such."""
    parts = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", meaning)
    if parts is None:
        return None
    settings: dict[str, float] = {}
    for one in (parts[2] or "").split(",") if (parts[2] or "").strip() else ():
        key, _, value = (word.strip() for word in one.partition("="))
        try:
            number = float(value)
        except ValueError:
            return None
        if key in settings:
            return None
        settings[key] = number
    return parts[1], settings
