"""The methods by name. A method is a module with the contract below; nothing else in the project knows their names.

PAPER                    one line: title, authors, year
Config, PRESETS          a frozen dataclass of settings (`config.setting`), and instances of it by name
build(config)            the network, unfitted
check(config, dataset)   refuses, before anything is written, data that the method cannot use
fit(config, dataset, run)            writes model.safetensors (and latents.safetensors) into the run
load(file, device)       a model file => what encode and decode take; its `network` holds the parameters
unfitted(network, config)            the same without a file, to be measured
latent_space(config)     {"space": name, "shape": [..]}, what latents and priors of the model must match
decode(model, codes)     latents [B, ...] => a batch of scenes
DecodeSettings           what --set may change for sample and decode
    and, where the method finds codes of data:
items(model, dataset, split)         the `dataset.Item`s of a split (train, test, all) that codes can stand for
EncodeSettings           what --set may change for encode
encoder(model, dataset, items, settings, seed)   => a function: places in items => their codes [S, ...] and mean squared error [S]
                         (and, of a method that is `conditioned`, the cameras [S, 25] that scenes are baked at)
    and, where it means something:
encode_note(settings)    what encode says in its log
tuned(model, dataset, items, codes, cameras, settings)           the model moved to draw these items by their codes: its tensors,
                         its metadata, the mean squared error (pivotal tuning)
    and, where it has several parts a layer, as basis networks:
similarity(model)        layer => how alike its parts are [M, M], 0 to 1

A method whose latents need no prior (a GAN) has besides:

draw(model, indices, seed, settings)   => codes [len(indices), ...]; code i depends on (seed, i) alone, and its camera
SampleSettings           what --set may change for them, e.g. truncation
    and, where what a scene shows depends on a camera:
conditioned(model, cameras)      the model as it draws and decodes for cameras [1 or B, 25]; scenes record theirs

And where they mean something:

counts(config)           more figures for profile, by name
import_official(state, preset, pairs, size, where)   tensors of the public code => those of a model, and its metadata
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from g3d import config
from g3d.errors import G3dError, did_you_mean

METHODS = {
    "mnif": "g3d.methods.mnif",
    "hypernerfgan": "g3d.methods.hypernerfgan",
    "gsgan": "g3d.methods.gsgan",
}


def settings_of(name: str, preset: str | None, pairs: Sequence[str]) -> Any:
    """The settings of a method: its defaults or a preset, with `key=value` pairs over them."""
    module = method(name)
    start = config.preset(module.PRESETS, preset, name) if preset else module.Config()
    return config.override(start, pairs, name)


def method(name: str) -> ModuleType:
    """The module of a method, or a sentence with the names that there are."""
    if name not in METHODS:
        raise G3dError(f"there is no method '{name}'{did_you_mean(name, METHODS)}; methods: {', '.join(METHODS)}")
    return importlib.import_module(METHODS[name])
