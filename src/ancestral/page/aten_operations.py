"""Operations of exported networks, by what becomes of them in a program."""

import torch

aten = torch.ops.aten
UNARY = {
    getattr(aten, name).default: name
    for names in ("neg abs exp sigmoid silu tanh relu sqrt", "rsqrt reciprocal erf trunc floor ceil round")
    for name in names.split()
}
IN_JAVASCRIPT = {
    getattr(aten, name).default: name
    for names in ("sin cos tan asin acos atan sinh cosh asinh acosh atanh", "log log1p log2 log10 expm1 sign")
    for name in names.split()
}
"""Functions of embeddings, of few numbers: JavaScript's Math has them, in float64."""
BINARY = {
    getattr(getattr(aten, name), kind): name
    for name in ("add", "sub", "mul", "div", "ge", "gt", "le", "lt", "eq", "ne")
    for kind in ("Tensor", "Scalar")
} | {
    aten.maximum.default: "max",
    aten.minimum.default: "min",
    aten.logical_and.default: "and",
    aten.logical_or.default: "or",
    aten.bitwise_and.Tensor: "and",
    aten.bitwise_or.Tensor: "or",
}
REDUCTIONS = {
    aten.sum.dim_IntList: 0,
    aten.sum.default: 0,
    aten.mean.dim: 1,
    aten.mean.default: 1,
    aten.amax.default: 2,
    aten.amin.default: 3,
    aten.max.dim: 2,
    aten.min.dim: 3,
}
"""Numbers of the reductions, as in kernels.c."""
MEAN_REDUCTION = 1
VIEWS = {
    aten.view.default,
    aten.reshape.default,
    aten.permute.default,
    aten.transpose.int,
    aten.t.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.expand.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze.default,
    aten.unsqueeze.default,
    aten.split_with_sizes.default,
    aten.split.Tensor,
    aten.unbind.int,
    aten.alias.default,
    aten.detach.default,
    aten.diagonal.default,
}
SAME = {aten.clone.default, aten.contiguous.default, aten.lift_fresh_copy.default}
CASTS = {aten._to_copy.default, aten.to.dtype}
UPSAMPLING = {aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec}
REARRANGEMENTS = {
    aten.flip.default,
    aten.index_select.default,
    aten.index.Tensor,
    aten.gather.default,
    aten.repeat.default,
    aten.roll.default,
    aten.reflection_pad1d.default,
    aten.reflection_pad2d.default,
    aten.reflection_pad3d.default,
    aten.replication_pad2d.default,
    aten.replication_pad3d.default,
}
"""Operations whose results are elements of their input; which ones is known now."""
PRODUCTS = {aten.linear.default, aten.convolution.default}
KEPT_WHOLE = (
    aten.linear.default,
    aten.group_norm.default,
    aten.layer_norm.default,
    aten.silu.default,
    aten.sigmoid.default,
    aten.scaled_dot_product_attention.default,
    aten.addcmul.default,
    *UPSAMPLING,
)
"""Operations that stay whole where PyTorch would decompose them."""
SPLIT = (
    aten.gelu,
    aten.leaky_relu,
    aten.elu,
    aten.hardtanh,
    aten._log_softmax,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten.native_layer_norm,
    aten.linalg_vector_norm,
    aten.addmm,
    aten.baddbmm,
    aten.upsample_bilinear2d,
)
"""Operations that PyTorch would keep, and can decompose."""
