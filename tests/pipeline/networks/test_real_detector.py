"""RTMDet-nano with its real weights, from a public ONNX file: our boxes are onnxruntime's, and people are in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from auglift.pipeline.datasets.calibrated import calibrated
from auglift.pipeline.frames.sources import read
from auglift.pipeline.networks.detect import RTMDet, build_detector, overlap

from ...fakes.onnx_weights import write_rtmdet_nano

FRAMES = (0, 50, 99)
GRAPHS_THRESHOLD = 0.05  # below it the graph's own suppression drops boxes


@pytest.fixture(scope="module")
def onnx_file(shared_data) -> Path:
    pytest.importorskip("onnx")
    return shared_data / "rtmdet_nano" / "rtmdet-nano.onnx"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, onnx_file) -> Path:
    """A folder of weights with the file in it."""
    return write_rtmdet_nano(tmp_path_factory.mktemp("weights") / "rtmdet-nano.pth", onnx_file).parent


@pytest.fixture(scope="module")
def detector(checkpoint) -> RTMDet:
    return build_detector("rtmdet-nano", checkpoint)


@pytest.fixture(scope="module")
def run_graph(onnx_file) -> Callable[[np.ndarray], np.ndarray]:
    """A network's input (1, 3, h, w), to the graph's boxes (n, 5) in px of that input, through onnxruntime alone."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {"input": inputs})[0][0]


@pytest.fixture(scope="module")
def scenes(shared_data) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Frames, each with the true box of the person in it: annotated, or about the joints that markers say."""
    x, y, width, height = json.loads((shared_data / "coco" / "annotation.json").read_text())["annotations"][0]["bbox"]
    photograph = np.asarray(Image.open(next((shared_data / "coco").glob("*.jpg"))).convert("RGB"))
    found = {"photograph": (photograph, np.array([x, y, x + width, y + height]))}
    folder = shared_data / "pose2sim"
    recording = calibrated(
        sorted((folder / "single").glob("*.mp4")), folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc"
    )
    for clip in recording.clips:
        assert clip.truth is not None
        boxes = clip.truth.read(np.array(FRAMES))["bbox"]
        frames = np.concatenate([batch.frames for batch in read(clip.info.path, list(FRAMES), len(FRAMES), 1)])
        for t, frame, box in zip(FRAMES, frames, boxes, strict=True):
            found[f"{clip.camera}, frame {t}"] = frame, box
    return found


@pytest.mark.parametrize("threshold", [GRAPHS_THRESHOLD, 0.3])
def test_boxes_are_those_of_onnxruntime(checkpoint, run_graph, scenes, threshold):
    detector = build_detector("rtmdet-nano", checkpoint, score_threshold=threshold)
    count = 0
    for name, (frame, _) in scenes.items():
        frames = torch.tensor(frame)[None]
        inputs, scale = detector.inputs(frames)
        expected = run_graph(inputs.numpy())
        expected = expected[expected[:, 4] > threshold] / [*scale, *scale, 1]
        ours = detector.detect(frames)[0].numpy()
        assert len(ours) == len(expected), name
        # Inside the frame: ours may extend into the padding, the graph's end at the network's input.
        limit = [frame.shape[1], frame.shape[0]] * 2
        inside, expected_inside = (np.clip(boxes[:, :4], 0, limit) for boxes in (ours, expected))
        nearest = np.abs(inside[:, None] - expected_inside).max(axis=2).argmin(axis=0)
        assert sorted(nearest) == list(range(len(ours))), name
        assert np.abs(inside[nearest] - expected_inside).max() < 0.05, name
        assert np.abs(ours[nearest, 4] - expected[:, 4]).max() < 1e-5, name
        count += len(ours)
    assert count >= len(scenes)


def test_the_people_are_found(detector, scenes):
    for name, (frame, truth) in scenes.items():
        boxes = detector.detect(torch.tensor(frame)[None])[0]
        expected = torch.from_numpy(truth).float().expand(len(boxes), 4)
        assert len(boxes) >= 1, name
        assert overlap(boxes[:, :4], expected).max() > 0.5, name


def test_frames_in_a_batch_have_the_boxes_that_they_have_alone(detector, scenes):
    frames = torch.stack([torch.tensor(scenes[f"cam_03, frame {t}"][0]) for t in FRAMES])
    for frame, found in zip(frames, detector.detect(frames), strict=True):
        torch.testing.assert_close(detector.detect(frame[None])[0], found, rtol=1e-4, atol=1e-3)
