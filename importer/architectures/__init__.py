"""The architectures of ``keras.applications``, for files that hold their weights only.

Each has the name of its published file: ``vgg16``, ``mobilenet_0.75``, ``efficientnetv2-b0``.
``_notop`` is the network without its classifier; ``_th`` the one that was published for Theano.
``resnet50_old`` is the ResNet50 of Keras 1.1 to 2.2, whose layers are called ``res2a_branch2a``.
"""

from .catalogue import architecture as architecture
from .catalogue import arrays as arrays
from .catalogue import names as names
from .catalogue import recognise as recognise
from .catalogue import variants as variants
