"""Weights from our U-Net to diffusers' `UNet2DModel`, module by module, for tests of parity."""

from ancestral.nets.unet import Downsample, ResidualBlock, SelfAttention, Stage, UNet, Upsample


def copy_to_diffusers(ours: UNet, theirs) -> None:
    """Give `theirs`, built with the same settings, the weights of `ours`; every parameter of both is met once."""
    pairs = [
        (ours.time[0], theirs.time_embedding.linear_1),
        (ours.time[2], theirs.time_embedding.linear_2),
        (ours.stem, theirs.conv_in),
        (ours.norm, theirs.conv_norm_out),
        (ours.out, theirs.conv_out),
    ]
    for mine, blocks in (
        (ours.down, theirs.down_blocks),
        (ours.middle, [theirs.mid_block]),
        (ours.up, theirs.up_blocks),
    ):
        resnets = iter([resnet for block in blocks for resnet in block.resnets])
        attentions = iter([attention for block in blocks for attention in getattr(block, "attentions", None) or []])
        samplers = iter(
            [s for b in blocks for kind in ("downsamplers", "upsamplers") for s in getattr(b, kind, None) or []]
        )
        for module in mine:
            if isinstance(module, Stage):
                pairs += residual(module.block, next(resnets))
                if isinstance(module.attention, SelfAttention):
                    copy_attention(module.attention, next(attentions))
            elif isinstance(module, Downsample | Upsample):
                pairs.append((module.conv, next(samplers).conv))
        assert next(resnets, None) is next(attentions, None) is next(samplers, None) is None
    for source, target in pairs:
        target.load_state_dict(source.state_dict())


def residual(block: ResidualBlock, resnet) -> list:
    pairs = [
        (block.norm1, resnet.norm1),
        (block.conv1, resnet.conv1),
        (block.time, resnet.time_emb_proj),
        (block.norm2, resnet.norm2),
        (block.conv2, resnet.conv2),
    ]
    return pairs + ([(block.shortcut, resnet.conv_shortcut)] if resnet.conv_shortcut is not None else [])


def copy_attention(attention: SelfAttention, theirs) -> None:
    theirs.group_norm.load_state_dict(attention.norm.state_dict())
    for place, layer in enumerate((theirs.to_q, theirs.to_k, theirs.to_v)):
        layer.weight.data.copy_(attention.qkv.weight.chunk(3)[place][:, :, 0, 0])
        layer.bias.data.copy_(attention.qkv.bias.chunk(3)[place])
    theirs.to_out[0].weight.data.copy_(attention.out.weight[:, :, 0, 0])
    theirs.to_out[0].bias.data.copy_(attention.out.bias)
