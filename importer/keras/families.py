"""The families of converters: importing this module registers them all."""

from . import activation_layers as activation_layers
from . import attention as attention
from . import augmentation as augmentation
from . import convolution as convolution
from . import core as core
from . import legacy as legacy
from . import locally_connected as locally_connected
from . import merge as merge
from . import multi_head_attention as multi_head_attention
from . import normalization as normalization
from . import pooling as pooling
from . import preprocessing as preprocessing
from . import recurrent as recurrent
from . import regularization as regularization
from . import resizing as resizing
