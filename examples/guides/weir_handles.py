# SPDX-License-Identifier: MIT
"""weir_handles.py: a dictionary that is passed on as a line of JSON, and by name."""

import weir

with weir.scope() as s:
    d = s.dict({"a": 1})
    text = d.handle()  # C: weir_dict_to_json(), weir_dict_from_json()
    same = weir.from_handle(text)
    same["b"] = 2
    with weir.connect(s.address) as other:  # in another program: an address of one's own choice
        print(other.attach(d.name).copy() == {"a": 1, "b": 2})  # True
