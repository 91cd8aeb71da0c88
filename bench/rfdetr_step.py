"""rfdetr_step.py MODEL BATCH STEPS [PRECISION [DEVICE [OBJECTS]]]: times rfdetr's training step on the batch that
halfmask bench makes (same images, boxes and masks) on the CPU or on a GPU (cuda), in fp32 or under autocast (bf16, fp16),
and prints seconds and peak memory: resident, or the GPU's. Called by side_by_side and side_by_side_cuda."""
import resource
import sys
import time

import numpy as np
import torch
import rfdetr.config as config
from rfdetr._namespace import _namespace_from_configs
from rfdetr.models import lwdetr
from rfdetr.models._defaults import MODEL_DEFAULTS
from rfdetr.training.param_groups import get_param_dict
from rfdetr.utilities.tensors import nested_tensor_from_tensor_list

NAMES = {"seg-nano": "RFDETRSegNanoConfig", "seg-small": "RFDETRSegSmallConfig", "seg-medium": "RFDETRSegMediumConfig",
         "seg-large": "RFDETRSegLargeConfig", "nano": "RFDETRNanoConfig", "small": "RFDETRSmallConfig"}
OBJECTS = int(sys.argv[6]) if len(sys.argv) > 6 else 7
MASK = (1 << 64) - 1


def draw(count):
    """hm_rng_bits of the stream "bench", seed 1, as src/train/bench_batch.c draws it."""
    key = 0xCBF29CE484222325
    for byte in b"bench":
        key = ((key ^ byte) * 0x100000001B3) & MASK
    key ^= 0x9E3779B97F4A7C15
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def make_batch(batch, size):
    bits = draw(batch * 3 * size * size)
    u = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    images = torch.from_numpy((4 * u - 2).reshape(batch, 3, size, size))
    targets = []
    for b in range(batch):
        boxes, labels, masks = [], [], torch.zeros(OBJECTS, size, size, dtype=torch.bool)
        for t in range(OBJECTS):
            k = b * OBJECTS + t
            w = h = np.float32(0.1) + np.float32(0.3) * u[7 * k]
            x, y = w / 2 + (1 - w) * u[7 * k + 1], h / 2 + (1 - h) * u[7 * k + 2]
            boxes.append([x, y, w, h])
            labels.append(int(bits[k] % np.uint64(3)))
            masks[t, int((y - h / 2) * size):int((y + h / 2) * size), int((x - w / 2) * size):int((x + w / 2) * size)] = True
        targets.append({"boxes": torch.tensor(np.array(boxes)), "labels": torch.tensor(labels), "masks": masks,
                        "image_id": torch.tensor([b]), "size": torch.tensor([size, size]),
                        "orig_size": torch.tensor([size, size])})
    return nested_tensor_from_tensor_list(list(images)), targets


def main():
    name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    precision = sys.argv[4] if len(sys.argv) > 4 else "fp32"
    device = sys.argv[5] if len(sys.argv) > 5 else "cpu"
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    torch.manual_seed(0)
    mc = getattr(config, NAMES[name])(pretrain_weights=None, device=device)
    train_config = config.SegmentationTrainConfig if mc.segmentation_head else config.TrainConfig
    ns = _namespace_from_configs(mc, train_config(dataset_dir=".", output_dir="."), MODEL_DEFAULTS)
    ns.pretrain_weights = "unused"  # never fetches a backbone
    model = lwdetr.build_model(ns).to(device).train()
    criterion, _ = lwdetr.build_criterion_and_postprocessors(ns)
    criterion.to(device).train()
    optimizer = torch.optim.AdamW(get_param_dict(ns, model), lr=ns.lr, weight_decay=ns.weight_decay)
    samples, targets = make_batch(batch, mc.resolution)
    samples = samples.to(device)
    targets = [{k: v.to(device) for k, v in t.items()} for t in targets]
    torch.set_float32_matmul_precision("high")  # as upstream trains
    scaler = torch.amp.GradScaler(device, enabled=device != "cpu" and half == torch.float16)
    seconds = []
    warm = 1 if device == "cpu" else 5
    for _ in range(steps + warm):
        start = time.perf_counter()
        with torch.autocast(device, dtype=half, enabled=half is not None):
            losses = criterion(model(samples, targets), targets)
            total = sum(losses[k] * criterion.weight_dict[k] for k in losses if k in criterion.weight_dict)
        optimizer.zero_grad()
        scaler.scale(total).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        scaler.step(optimizer)
        scaler.update()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device != "cpu":
        peak = torch.cuda.max_memory_reserved() / 2**20
    print(f"{name} batch {batch} {precision}: {min(seconds[warm:]):.4f} s a step (best), "
          f"{np.median(seconds[warm:]):.4f} (median); loss {float(total):.3f}; peak resident {peak:.1f} MiB")


main()
