"""The restricted unpickler: what data files hold is read, whatever could run code is refused before it runs."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch_geometric_twin import new_graph, old_graph

from tdn.data.formats.unpickle import load_graph, load_plain
from tdn.errors import TDNError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function, *arguments):
        self.recipe = (function, arguments)

    def __reduce__(self):
        return self.recipe


class WithState:
    """Pickles to what a function returns, changed afterwards by a state."""

    def __init__(self, function, arguments, state):
        self.recipe = (function, arguments, state)

    def __reduce__(self):
        return self.recipe


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestPlain:
    def test_containers_numbers_text_bytes(self, protocol):
        value = {"a": [1, -2.5, None, True], "b": ("x", b"y\xff"), "c": {1, 2}, 3: 2**80}
        assert load_plain(pickle.dumps(value, protocol), "it") == value

    def test_ordered_dictionary_becomes_plain(self, protocol):
        assert load_plain(pickle.dumps(OrderedDict(a=1), protocol), "it") == {"a": 1}

    @pytest.mark.parametrize("number", [np.float64(1.25), np.float32(-3), np.int64(7), np.bool_(True)])
    def test_numpy_numbers(self, protocol, number):
        assert load_plain(pickle.dumps(number, protocol), "it") == number

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("kind", ["<f8", ">f4", "i2", "?"])
    def test_numpy_arrays(self, protocol, kind, order):
        array = np.asarray(np.arange(6).reshape(2, 3), dtype=kind, order=order)
        found = np.asarray(load_plain(pickle.dumps(array, protocol), "it"))
        np.testing.assert_array_equal(found, array)


class TestGraph:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("write", [old_graph, new_graph])
    def test_fields(self, write, protocol):
        found = load_graph(write(protocol, pos=torch.arange(6.0).reshape(2, 3), natoms=2, y=-1.5), "it")
        np.testing.assert_array_equal(np.asarray(found["pos"]), [[0, 1, 2], [3, 4, 5]])
        assert (found["natoms"], found["y"]) == (2, -1.5)

    def test_views_and_types_of_tensors(self):
        whole = torch.arange(12, dtype=torch.int64).reshape(3, 4)
        found = load_graph(old_graph(view=whole[1:, ::2].T, none=torch.zeros(0, 3), half=torch.ones(2).half()), "it")
        np.testing.assert_array_equal(np.asarray(found["view"]), [[4, 8], [6, 10]])
        assert np.asarray(found["view"]).dtype == np.int64
        assert np.asarray(found["none"]).shape == (0, 3)
        assert np.asarray(found["half"]).tolist() == [1.0, 1.0]

    def test_torch_geometric_is_not_imported(self):
        """In a process of its own: other tests may have imported it."""
        code = (
            "import sys; from tdn.data.formats.unpickle import load_graph; load_graph(sys.stdin.buffer.read(), 'it'); "
            "print(any(name.startswith('torch_geometric') for name in sys.modules))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, input=new_graph(y=1.0), capture_output=True, check=True, timeout=120)
        assert done.stdout.strip() == b"False"

    def test_other_content(self):
        with pytest.raises(TDNError, match=r"^it is a dict, not a graph of torch_geometric; give files of OC20"):
            load_graph(pickle.dumps({"y": 1.0}), "it")

    def test_tensor_beyond_its_numbers(self):
        rebuild, (storage, *_) = torch.zeros(3).__reduce_ex__(2)
        wrong = Calls(rebuild, storage, 0, (9,), (1,), False, OrderedDict())
        found = load_graph(old_graph(pos=wrong), "it")
        with pytest.raises(TDNError, match=r"tensor of shape \(9,\) over 3 numbers"):
            np.asarray(found["pos"])

    def test_storage_that_hides_code(self, tmp_path):
        target = tmp_path / "made"
        content = io.BytesIO()
        torch.save(Calls(os.mkdir, str(target)), content, _use_new_zipfile_serialization=False)
        hidden = Calls(torch.storage._load_from_bytes, content.getvalue())
        found = load_graph(old_graph(pos=Calls(torch._utils._rebuild_tensor_v2, hidden, 0, (1,), (1,))), "it")
        with pytest.raises(TDNError, match=r"tensor that torch does not read"):
            np.asarray(found["pos"])
        assert not target.exists()


class TestMalice:
    @pytest.mark.parametrize("load", [load_plain, load_graph])
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            (os.system, ("touch {}",)),
            (eval, ("open('{}', 'w')",)),
            (exec, ("open('{}', 'w')",)),
            (getattr, ("", "format")),
            (__import__, ("os",)),
            (open, ("{}", "w")),
            (torch.load, ("{}",)),
            (np.save, ("{}", 1)),
        ],
    )
    def test_calls_are_refused_by_name_and_do_not_run(self, tmp_path, load, protocol, function, arguments):
        target = tmp_path / "made"
        content = pickle.dumps([Calls(function, *(str(part).format(target) for part in arguments))], protocol)
        with pytest.raises(TDNError, match=rf"^it is not unpickled: it holds a Python object \S*{function.__name__}, "):
            load(content, "it")
        assert not target.exists()

    def test_dotted_names_do_not_reach_attributes(self):
        content = b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93."
        with pytest.raises(TDNError, match=r"collections\.OrderedDict\.__init__"):
            load_plain(content, "it")

    def test_encode_is_for_bytes_only(self):
        import _codecs

        with pytest.raises(TDNError, match="bytes encoded as 'zlib'"):
            load_plain(pickle.dumps(Calls(_codecs.encode, "x", "zlib")), "it")

    def test_functions_cannot_be_changed(self):
        state = b"\x80\x04\x8c\x07_codecs\x8c\x06encode\x93}\x8c\x01a\x8c\x01bsb."
        with pytest.raises(TDNError, match="it tries to change a function"):
            load_plain(state, "it")

    def test_objects_of_numpy(self):
        with pytest.raises(TDNError, match="numpy data of type 'O8', which are not numbers"):
            load_plain(pickle.dumps(np.array([{}], dtype=object), 2), "it")

    def test_reconstruction_of_another_class(self):
        import copyreg

        content = pickle.dumps(Calls(copyreg._reconstructor, dict, dict, {}), 2)
        with pytest.raises(TDNError, match=r"Python object (builtins|__builtin__)\.dict"):
            load_graph(content, "it")

    def test_persistent_references(self):
        with pytest.raises(TDNError, match=r"refers to something outside of itself \('x'\)"):
            load_plain(b"\x80\x04\x8c\x01xQ.", "it")

    @pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([1, 2, 3])[:-4]])
    def test_broken(self, content):
        with pytest.raises(TDNError, match=r"^it is not a readable pickle \(.+\); give a complete file$"):
            load_plain(content, "it")
