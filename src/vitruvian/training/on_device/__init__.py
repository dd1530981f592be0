"""Training crops made where the network is: photos packed on the device, resampled and changed a batch at a time.

On a GPU a network of this size takes thousands of crops a second, more than processes of the CPU make. Loaders then
only draw which crop of whose photo comes (`PoseDataset.view`, some dozens of numbers); pixels are made here, with the
distributions of `RandomPhotometry` and `Mixing`. It runs on a CPU too, more slowly than the usual way.

What it does not do to the last grey level as on the CPU: crops that are shrunk look into a photo of half the size, or
a quarter, instead of a filter as wide as the shrink; blur is Gaussian where Pillow's is three boxes; draws come from
torch's generator.
"""

from .crops import CropMaker, Views

__all__ = ["CropMaker", "Views"]
