"""A training loop of one's own, all of it: windows from a store, plain PyTorch, nothing of auglift's trainer.

    python examples/own_loop.py train.zarr test.zarr --epochs 20

The lifter is that of own_lifter.py; the file it saves can be the beginning of another training, `--init own_loop.pt`.
"""

from __future__ import annotations

import argparse

import torch
from own_lifter import JointsThenFrames  # any nn.Module; this one lies beside
from torch.utils.data import DataLoader

from auglift.lifters.data.dataset import WindowDataset
from auglift.lifters.inputs import Inputs, targets

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INPUTS = Inputs("uadd")  # x, y, confidence, and depth in three numbers a joint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    for name, kind, default in (("epochs", int, 20), ("window", int, 27), ("batch", int, 64), ("lr", float, 3e-4)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--out", default="own_loop.pt")
    args = parser.parse_args()

    torch.manual_seed(0)
    fields = [*INPUTS.fields, "target/pose3d"]
    training = WindowDataset(args.train, fields, window=args.window, batch_size=args.batch, drop_last=True)
    test = WindowDataset(
        args.test, fields, window=args.window, stride=args.window, batch_size=args.batch, shuffle=False
    )
    model = JointsThenFrames(INPUTS.count, args.window, width=64, depth=2).to(DEVICE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.99)

    for epoch in range(args.epochs):
        training.set_epoch(epoch)  # another order in each
        model.train()
        for batch in DataLoader(training, batch_size=None):
            given, target, mask = examples(batch)
            loss = model.loss(model(given), target, mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        print(f"epoch {epoch + 1}: loss {loss:.4f}, MPJPE on the test {mpjpe(model, test):.1f} mm")
    torch.save(model.state_dict(), args.out)  # `auglift-train --init` reads it


def examples(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B, T, J, C), (B, T, J, 3) m from the pelvis, and (B, T, J): which joints count."""
    target, mask = targets(batch, DEVICE)
    real = (batch["valid"] & batch["inside"]).to(DEVICE)  # a person was found, and the window is not past the end
    return INPUTS(batch, DEVICE)[0], target, mask & real[..., None]


@torch.no_grad()
def mpjpe(model: torch.nn.Module, data: WindowDataset) -> float:
    model.eval()
    data.set_epoch(0)
    errors = []
    for batch in DataLoader(data, batch_size=None):
        given, target, mask = examples(batch)
        errors.append((model(given) - target).norm(dim=-1)[mask])
    return 1000 * float(torch.cat(errors).mean())


if __name__ == "__main__":
    main()
