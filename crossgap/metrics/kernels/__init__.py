"""Loops that numba compiles, since NumPy would make further arrays of a tile's size.

They are compiled when first called and kept beside their module: what numba keeps of a function does not know when
another file changes, so a kernel calls none of another module. Threads may call them at once. Annotations name no
shapes: numba reads none.
"""
