"""Layers that compute what PyTorch's do, with less time or memory on a CPU; elsewhere they call PyTorch's own.
Under autocast on a GPU, norms keep less for the backward pass.

Dropout differs from PyTorch's on every device: its masks are functions of keys.
"""
