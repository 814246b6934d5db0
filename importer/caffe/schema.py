"""The messages of Caffe's protocol buffers, as far as they say what a network computes.

One table serves both forms: the text form names fields, the binary one numbers them. A field that
is not here keeps its name, or its number, and whoever meets it decides. The numbers are those of
BVLC Caffe's ``caffe.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
"""A message as it was read: a list where its field repeats, else the one value."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of the file that nobody has read yet."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message.

    Attributes:
        number: its number in the binary form.
        name: its name in the text form.
        kind: int, bool, float, string, enum; floats or doubles, whose numbers stay where they are;
            or the name of a message.
        repeats: it may stand there any number of times.
        values: of an enum, by name.
    """

    number: int
    name: str
    kind: str
    repeats: bool = False
    values: Mapping[str, int] | None = None


NUMBERS = ("floats", "doubles")
PHASE = "(TRAIN=0 TEST=1)"
POOL = "(MAX=0 AVE=1 STOCHASTIC=2)"
ENGINE = "(DEFAULT=0 CAFFE=1 CUDNN=2)"

V1_TYPES = (
    "NONE=0 ABSVAL=35 ACCURACY=1 ARGMAX=30 BNLL=2 CONCAT=3 CONTRASTIVE_LOSS=37 CONVOLUTION=4 DATA=5"
    " DECONVOLUTION=39 DROPOUT=6 DUMMY_DATA=32 EUCLIDEAN_LOSS=7 ELTWISE=25 EXP=38 FLATTEN=8"
    " HDF5_DATA=9 HDF5_OUTPUT=10 HINGE_LOSS=28 IM2COL=11 IMAGE_DATA=12 INFOGAIN_LOSS=13"
    " INNER_PRODUCT=14 LRN=15 MEMORY_DATA=29 MULTINOMIAL_LOGISTIC_LOSS=16 MVN=34 POOLING=17"
    " POWER=26 RELU=18 SIGMOID=19 SIGMOID_CROSS_ENTROPY_LOSS=27 SILENCE=36 SOFTMAX=20"
    " SOFTMAX_LOSS=21 SPLIT=22 SLICE=33 TANH=23 WINDOW_DATA=24 THRESHOLD=31"
)

# number name kind, separated by ";"; a star: the field repeats.
_MESSAGES: Mapping[str, str] = {
    "net": "1 name string; 2 layers layer_v1*; 3 input string*; 4 input_dim int*;"
    "5 force_backward bool; 6 state net_state; 7 debug_info bool; 8 input_shape shape*;"
    "100 layer layer*",
    "net_state": f"1 phase {PHASE}; 2 level int; 3 stage string*",
    "rule": f"1 phase {PHASE}; 2 min_level int; 3 max_level int; 4 stage string*;"
    "5 not_stage string*",
    "shape": "1 dim int*",
    "blob": "1 num int; 2 channels int; 3 height int; 4 width int; 5 data floats; 6 diff floats;"
    "7 shape shape; 8 double_data doubles; 9 double_diff doubles",
    "param_spec": "1 name string; 2 share_mode (STRICT=0 PERMISSIVE=1); 3 lr_mult float;"
    "4 decay_mult float",
    "filler": "1 type string; 2 value float; 3 min float; 4 max float; 5 mean float; 6 std float;"
    "7 sparse int; 8 variance_norm (FAN_IN=0 FAN_OUT=1 AVERAGE=2)",
    "transform": "1 scale float; 2 mirror bool; 3 crop_size int; 4 mean_file string;"
    "5 mean_value float*; 6 force_color bool; 7 force_gray bool",
    "loss": "1 ignore_label int; 2 normalize bool;"
    "3 normalization (FULL=0 VALID=1 BATCH_SIZE=2 NONE=3)",
    "layer": "1 name string; 2 type string; 3 bottom string*; 4 top string*; 5 loss_weight float*;"
    f"6 param param_spec*; 7 blobs blob*; 8 include rule*; 9 exclude rule*; 10 phase {PHASE};"
    "11 propagate_down bool*; 100 transform_param transform; 101 loss_param loss;"
    "102 accuracy_param accuracy; 103 argmax_param argmax; 104 concat_param concat;"
    "105 contrastive_loss_param contrastive; 106 convolution_param convolution;"
    "107 data_param data; 108 dropout_param dropout; 109 dummy_data_param dummy_data;"
    "110 eltwise_param eltwise; 111 exp_param exp; 112 hdf5_data_param data;"
    "113 hdf5_output_param nothing; 114 hinge_loss_param hinge; 115 image_data_param image_data;"
    "116 infogain_loss_param nothing; 117 inner_product_param inner_product; 118 lrn_param lrn;"
    "119 memory_data_param memory_data; 120 mvn_param mvn; 121 pooling_param pooling;"
    "122 power_param power; 123 relu_param relu; 124 sigmoid_param engine;"
    "125 softmax_param softmax; 126 slice_param slice; 127 tanh_param engine;"
    "128 threshold_param threshold; 129 window_data_param data; 130 python_param nothing;"
    "131 prelu_param prelu; 132 spp_param nothing; 133 reshape_param reshape; 134 log_param exp;"
    "135 flatten_param flatten; 136 reduction_param reduction; 137 embed_param embed;"
    "138 tile_param tile; 139 batch_norm_param batch_norm; 140 elu_param elu;"
    "141 bias_param bias; 142 scale_param scale; 143 input_param input; 144 crop_param crop;"
    "145 parameter_param nothing; 146 recurrent_param nothing; 147 swish_param swish;"
    "148 clip_param clip;"
    "202 permute_param permute; 206 norm_param norm",
    "layer_v1": "1 layer nothing; 2 bottom string*; 3 top string*; 4 name string;"
    f"5 type ({V1_TYPES}); 6 blobs blob*; 7 blobs_lr float*; 8 weight_decay float*;"
    "9 concat_param concat; 10 convolution_param convolution; 11 data_param data;"
    "12 dropout_param dropout; 13 hdf5_data_param data; 14 hdf5_output_param nothing;"
    "15 image_data_param image_data; 16 infogain_loss_param nothing;"
    "17 inner_product_param inner_product; 18 lrn_param lrn; 19 pooling_param pooling;"
    "20 window_data_param data; 21 power_param power; 22 memory_data_param memory_data;"
    "23 argmax_param argmax; 24 eltwise_param eltwise; 25 threshold_param threshold;"
    "26 dummy_data_param dummy_data; 27 accuracy_param accuracy; 29 hinge_loss_param hinge;"
    "30 relu_param relu; 31 slice_param slice; 32 include rule*; 33 exclude rule*;"
    "34 mvn_param mvn; 35 loss_weight float*; 36 transform_param transform; 37 tanh_param engine;"
    "38 sigmoid_param engine; 39 softmax_param softmax; 40 contrastive_loss_param contrastive;"
    "41 exp_param exp; 42 loss_param loss; 1001 param string*;"
    "1002 blob_share_mode (STRICT=0 PERMISSIVE=1)*",
    "accuracy": "1 top_k int; 2 axis int; 3 ignore_label int",
    "argmax": "1 out_max_val bool; 2 top_k int; 3 axis int",
    "batch_norm": "1 use_global_stats bool; 2 moving_average_fraction float; 3 eps float",
    "bias": "1 axis int; 2 num_axes int; 3 filler filler",
    "clip": "1 min float; 2 max float",
    "concat": "1 concat_dim int; 2 axis int",
    "contrastive": "1 margin float; 2 legacy_version bool",
    "convolution": "1 num_output int; 2 bias_term bool; 3 pad int*; 4 kernel_size int*;"
    "5 group int; 6 stride int*; 7 weight_filler filler; 8 bias_filler filler; 9 pad_h int;"
    "10 pad_w int; 11 kernel_h int; 12 kernel_w int; 13 stride_h int; 14 stride_w int;"
    f"15 engine {ENGINE}; 16 axis int; 17 force_nd_im2col bool; 18 dilation int*",
    "crop": "1 axis int; 2 offset int*",
    "data": "1 source string; 2 scale float; 3 mean_file string; 4 batch_size int; 5 crop_size int;"
    "6 mirror bool",
    "dropout": "1 dropout_ratio float; 2 scale_train bool",
    "dummy_data": "1 data_filler filler*; 2 num int*; 3 channels int*; 4 height int*; 5 width int*;"
    "6 shape shape*",
    "eltwise": "1 operation (PROD=0 SUM=1 MAX=2); 2 coeff float*; 3 stable_prod_grad bool",
    "elu": "1 alpha float",
    "embed": "1 num_output int; 2 input_dim int; 3 bias_term bool; 4 weight_filler filler;"
    "5 bias_filler filler",
    "engine": f"1 engine {ENGINE}",
    "exp": "1 base float; 2 scale float; 3 shift float",
    "flatten": "1 axis int; 2 end_axis int",
    "hinge": "1 norm (L1=1 L2=2)",
    "image_data": "1 source string; 2 scale float; 3 mean_file string; 4 batch_size int;"
    "5 crop_size int; 6 mirror bool; 8 shuffle bool; 9 new_height int; 10 new_width int;"
    "11 is_color bool; 12 root_folder string",
    "inner_product": "1 num_output int; 2 bias_term bool; 3 weight_filler filler;"
    "4 bias_filler filler; 5 axis int; 6 transpose bool",
    "input": "1 shape shape*",
    "lrn": "1 local_size int; 2 alpha float; 3 beta float;"
    f"4 norm_region (ACROSS_CHANNELS=0 WITHIN_CHANNEL=1); 5 k float; 6 engine {ENGINE}",
    "memory_data": "1 batch_size int; 2 channels int; 3 height int; 4 width int",
    "mvn": "1 normalize_variance bool; 2 across_channels bool; 3 eps float",
    "norm": "1 across_spatial bool; 2 scale_filler filler; 3 channel_shared bool; 4 eps float",
    "nothing": "",
    "permute": "1 order int*",
    "pooling": f"1 pool {POOL}; 2 kernel_size int; 3 stride int; 4 pad int; 5 kernel_h int;"
    "6 kernel_w int; 7 stride_h int; 8 stride_w int; 9 pad_h int; 10 pad_w int;"
    f"11 engine {ENGINE}; 12 global_pooling bool; 13 round_mode (CEIL=0 FLOOR=1)",
    "power": "1 power float; 2 scale float; 3 shift float",
    "prelu": "1 filler filler; 2 channel_shared bool",
    "reduction": "1 operation (SUM=1 ASUM=2 SUMSQ=3 MEAN=4); 2 axis int; 3 coeff float",
    "relu": f"1 negative_slope float; 2 engine {ENGINE}",
    "reshape": "1 shape shape; 2 axis int; 3 num_axes int",
    "scale": "1 axis int; 2 num_axes int; 3 filler filler; 4 bias_term bool; 5 bias_filler filler",
    "slice": "1 slice_dim int; 2 slice_point int*; 3 axis int",
    "softmax": f"1 engine {ENGINE}; 2 axis int",
    "swish": "1 beta float",
    "threshold": "1 threshold float",
    "tile": "1 axis int; 2 tiles int",
}  # fmt: skip


def _fields(text: str) -> tuple[Field, ...]:
    found: list[Field] = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        number, name, kind = entry.split(" ", 2)
        repeats, kind = kind.endswith("*"), kind.removesuffix("*")
        values = None
        if kind.startswith("("):
            pairs = re.findall(r"(\w+)=(\d+)", kind)
            values, kind = {name: int(value) for name, value in pairs}, "enum"
        found.append(Field(int(number), name, kind, repeats, values))
    return tuple(found)


MESSAGES: Mapping[str, tuple[Field, ...]] = {
    name: _fields(text) for name, text in _MESSAGES.items()
}
BY_NUMBER: Mapping[str, Mapping[int, Field]] = {
    name: {field.number: field for field in fields} for name, fields in MESSAGES.items()
}
BY_NAME: Mapping[str, Mapping[str, Field]] = {
    name: {field.name: field for field in fields} for name, fields in MESSAGES.items()
}
V1_KINDS: Mapping[str, int] = BY_NAME["layer_v1"]["type"].values or {}


def put(message: Message, field: Field, value: Any) -> None:
    """Adds a value of a field to a message; parts of one message become one."""
    if field.repeats or field.kind in NUMBERS:
        message.setdefault(field.name, []).append(value)
    elif isinstance(value, dict) and field.name in message:
        merge(message[field.name], value)
    else:
        message[field.name] = value


def merge(message: Message, other: Message) -> None:
    """Adds the fields of another message of the kind: lists grow, of the rest the last wins."""
    for name, value in other.items():
        known = message.get(name)
        if isinstance(value, list) and isinstance(known, list):
            known.extend(value)
        elif isinstance(value, dict) and isinstance(known, dict):
            merge(known, value)
        else:
            message[name] = value
