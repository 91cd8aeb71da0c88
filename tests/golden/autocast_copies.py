#!/usr/bin/env python3
"""autocast_copies.py GOLDEN CASE N: PyTorch's errors in half precision over N copies of a golden model case.

GOLDEN is the folder of the scripts that made the golden data (gen_model.py) and of its cases; rfdetr 1.11.2 is needed.
In each copy every weight is changed by a random part of itself, at most 1e-4, which fp16 can hardly tell; proposals and
assignments are those of the case's own fp32 run. Writes the geometric means of the relative errors of all gradients into
model/CASE/autocast_copies.json beside this script.
"""
import json
import math
import os
import sys

golden, case, copies = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, golden)
sys.argv = sys.argv[:1]
import gen_model
import torch


def load():
    read = lambda name: json.load(open(f"{golden}/model/{case}/{name}"))
    config, listed = read("config.json"), read("autocast.json")
    settings, _, namespace, _, tiny = gen_model.build(case)
    model, criterion, _ = gen_model.make_model(namespace)
    gen_model.fill_model(model, config["seed"])
    side = settings.resolution
    batch = gen_model.make_batch(settings, config["seed"], tiny["counts"], tiny["sizes"], side, side)
    batch = gen_model.torch_batch(*batch, tiny["sizes"], bool(settings.segmentation_head), torch.float32)
    model.train(), criterion.train()
    run = lambda **how: gen_model.execute(model, criterion, *batch, config["seed"], 0, **how)
    return model, run, listed["runs"]


def vary(model, weights, copy):
    random = torch.Generator().manual_seed(copy)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[name] * (1 + 2e-4 * (torch.rand(p.shape, generator=random) - 0.5)))


def gradients(model, scale=1.0):
    return {n: g / scale for n, g in gen_model.grads(model).items() if g is not None}


def errors(half, full):
    one = {n: gen_model.rel(half[n], full[n]) for n in full}
    difference = sum(float(((half[n] - full[n]) ** 2).sum()) for n in full)
    one[""] = math.sqrt(difference / sum(float((full[n] ** 2).sum()) for n in full))
    return one


def main():
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, run, listed = load()
    base = run()
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    chosen = dict(topk=base.topk, match=base.indices)
    logs = {"bfloat16": {}, "float16": {}}
    for copy in range(1, copies + 1):
        vary(model, weights, copy)
        run(**chosen)
        full = gradients(model)
        for name, sums in logs.items():
            scale = listed[name + ".frozen"]["loss_scale"]
            run(autocast=getattr(torch, name), scale=scale, **chosen)
            for n, e in errors(gradients(model, scale), full).items():
                sums[n] = sums.get(n, 0.0) + math.log(max(e, 1e-12))
    means = {name: {n: math.exp(s / copies) for n, s in sums.items()} for name, sums in logs.items()}
    runs = {f"{name}.frozen": dict(rel_grad_error_overall=m.pop(""), rel_grad_error=m) for name, m in means.items()}
    note = f"geometric means over {copies} copies of the case, made by autocast_copies.py with torch {torch.__version__}"
    with open(f"{os.path.dirname(os.path.abspath(__file__))}/model/{case}/autocast_copies.json", "w") as f:
        json.dump(dict(note=note, runs=runs), f, indent=1)
        f.write("\n")
    print(case, {n: r["rel_grad_error_overall"] for n, r in runs.items()})


main()
