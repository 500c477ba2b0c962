"""Readers of repository metadata: pure functions from bytes to the shapes of `patchbay_shared.catalogue`.

One file a format (`apt`, `rpmmd` with `updateinfo` and `modulemd`, `susetags`, `pacman`, `gentoo`), one shape:

- *Small documents* that name the others (Release, repomd.xml, content) are taken whole as `bytes` by
  `parse_<document>`; each of them says where the indexes are and which checksums they must have.
- *Indexes* are taken as binary streams that are already decompressed (`patchbay_shared.fetching.compression`, which
  bounds them) and are read once, front to back; `packages(stream)` yields `AvailablePackage` in the
  order of the index, in bounded memory.
- Source packages are never yielded.

Every byte is hostile. What cannot be read as the format (truncated, broken XML, a document type, a bomb, a
path that leaves the repository) raises `InvalidInput` saying what and where, and nothing of that index may be
used. In XML and YAML that includes text that is not UTF-8; in the line formats such text is read with U+FFFD
in place of what is wrong, as the package managers do not refuse it either. A single package whose version
no package manager could order is left out, and counted in one warning an index.
"""
