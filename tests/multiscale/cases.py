"""Inputs and tiny closed-form models of the vectors in vectors.json, recorded from the authors' wrapper.

The wrapper is scaling_on_scales 0.1 (MIT licence, github.com/bfshi/scaling_on_scales), of Shi et al. 2024,
arXiv 2403.13043. Each case: (name, model, images, arguments of the wrapper). ``summary`` is what the file
holds of the output: shape, sum, L2 norm, minimum, maximum and eight evenly spaced values.
"""

import torch
import torch.nn.functional as F


# ---------------------------------------------------------------- inputs
def wave(shape, step=0.37, phase=0.0):
    n = 1
    for s in shape:
        n *= s
    i = torch.arange(n, dtype=torch.float64)
    return (torch.sin(i * step + phase) + 0.5 * torch.cos(i * 0.011)).reshape(shape)


def image(batch=2, size=32):
    return wave((batch, 3, size, size), step=0.173).float()


# ---------------------------------------------------------------- models
class TokenModel(torch.nn.Module):
    """Patches -> linear -> + position code -> tanh -> + mean over tokens.

    The position code and the mean make a token depend on which crop it was
    computed in, so that splitting gives other numbers than not splitting.
    """

    def __init__(self, patch=8, dim=6, prefix=0):
        super().__init__()
        self.patch, self.dim, self.prefix = patch, dim, prefix
        w = wave((dim, 3, patch, patch), step=0.71, phase=0.3).float() / (3 * patch)
        self.register_buffer("w", w)

    def forward(self, x):
        t = F.conv2d(x, self.w, stride=self.patch).flatten(2).transpose(1, 2)
        n = t.shape[1]
        pos = torch.sin(
            torch.arange(n, dtype=t.dtype)[:, None] * 0.9 + torch.arange(self.dim, dtype=t.dtype)[None, :]
        )
        t = torch.tanh(t + 0.25 * pos)
        t = t + 0.5 * t.mean(1, keepdim=True)
        if self.prefix:
            heads = [t.mean(1) * (k + 1) for k in range(self.prefix)]
            t = torch.cat([torch.stack(heads, 1), t], 1)
        return t


class ConvModel(torch.nn.Module):
    def __init__(self, dim=5):
        super().__init__()
        self.register_buffer("a", wave((4, 3, 3, 3), step=0.53).float() / 5)
        self.register_buffer("b", wave((dim, 4, 3, 3), step=0.29, phase=1.0).float() / 6)

    def forward(self, x):
        x = torch.relu(F.conv2d(x, self.a, stride=2, padding=1))
        return torch.relu(F.conv2d(x, self.b, stride=2, padding=1))


def seeded_vit():
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    m = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    ).eval()

    def run(x):
        t = m._process_input(x)
        t = torch.cat([m.class_token.expand(t.shape[0], -1, -1), t], 1)
        return m.encoder(t)

    return run


def cases():
    tok, pre, cnn, x, vit = TokenModel(), TokenModel(prefix=1), ConvModel(), image(), seeded_vit()
    return [
        ("identity_1x", tok, x, dict(scales=[1])),
        ("tokens_1_2", tok, x, dict(scales=[1, 2])),
        ("tokens_1_2_split_forward", tok, x, dict(scales=[1, 2], split_forward=True)),
        ("tokens_sizes_32_64", tok, x, dict(img_sizes=[32, 64])),
        ("tokens_1_2_nosplit", tok, x, dict(scales=[1, 2], max_split_size=64)),
        ("tokens_1_2_out_idx1", tok, x, dict(scales=[1, 2], resize_output_to_idx=1)),
        ("prefix1_1_2", pre, x, dict(scales=[1, 2], num_prefix_token=1)),
        ("cnn_1_2", cnn, x, dict(scales=[1, 2], output_shape="bchw")),
        ("vit_seed0_1_2", vit, x, dict(scales=[1, 2], num_prefix_token=1)),
    ]


def summary(t):
    flat = t.double().flatten()
    probe = torch.linspace(0, flat.numel() - 1, 8).long()
    return {
        "shape": list(t.shape),
        "sum": flat.sum().item(),
        "l2": flat.norm().item(),
        "min": flat.min().item(),
        "max": flat.max().item(),
        "probe": flat[probe].tolist(),
    }
