"""A batch of items becomes latents under the items' names, with the cameras and errors that were found beside them."""

import torch
from g3d.data.dataset import Item
from g3d.latents import LatentSpace
from g3d.methods.contract import Encoded
from g3d.methods.encoding import encoded


def test_places_are_encoded_in_their_order() -> None:
    items = [Item(name, number) for number, name in enumerate("abcd")]
    space, cameras = LatentSpace.codes("z", 2), torch.arange(100.0).view(4, 25)

    def encoder(places: object) -> Encoded:
        rows = torch.tensor([float(place) for place in places])  # type: ignore[attr-defined]
        return Encoded({"codes": rows[:, None].repeat(1, 2)}, rows / 10, cameras[rows.long()])

    few, mse = encoded(encoder, items, [2, 0], space)
    assert few.names == ["c", "a"] and few.codes.tolist() == [[2, 2], [0, 0]] and few.space == space
    assert few.condition_camera is not None and torch.equal(few.condition_camera, cameras[[2, 0]])
    assert mse is not None and mse.tolist() == [torch.tensor(0.2).item(), 0]
    few, mse = encoded(lambda places: Encoded({"codes": torch.zeros(len(places), 2)}), items, [1], space)
    assert few.names == ["b"] and few.condition_camera is None and mse is None
