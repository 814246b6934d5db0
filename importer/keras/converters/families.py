"""The families of converters: importing this module registers them all."""

from . import activation_layers as activation_layers
from . import applications as applications
from . import attention as attention
from . import augmentation as augmentation
from . import conv_lstm as conv_lstm
from . import convolution as convolution
from . import core as core
from . import keras_ops as keras_ops
from . import legacy as legacy
from . import locally_connected as locally_connected
from . import lookup as lookup
from . import merge as merge
from . import multi_head_attention as multi_head_attention
from . import normalization as normalization
from . import pooling as pooling
from . import preprocessing as preprocessing
from . import recurrent as recurrent
from . import recurrent_wrappers as recurrent_wrappers
from . import regularization as regularization
from . import resizing as resizing
from . import spectrogram as spectrogram
from . import substitute as substitute
from . import tensorflow_nodes as tensorflow_nodes
from . import tensorflow_ops as tensorflow_ops
from . import text_vectorization as text_vectorization
