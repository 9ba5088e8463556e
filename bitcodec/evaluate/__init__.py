"""Measuring codecs on a folder of pictures: real files, metrics, seconds, BD-rate.

- `codecs`: what a codec is here; `rivals`: the others; `learned`: bitcodec itself
- `rows`: a measurement, and the CSV file that makes a run resumable
- `runner`: the measuring; `speed`: how fast
- `metrics`: which there are; `msssim` and `ssimulacra2` on `windows`
- `summary`: means, published curves, BD-rate; `worst`: where a codec does worst
- `tables`: all of it as text, CSV and JSON

Packages of the extra `eval` are imported where they are used; one that is missing is a
BitcodecError of one line.
"""
