"""Measuring codecs on a folder of pictures: real files, PSNR, MS-SSIM, seconds, BD-rate.

- `codecs`: what a codec is here, and the classical ones; `learned`: bitcodec itself
- `rows`: a measurement, and the CSV file that makes a run resumable
- `runner`: the measuring; `msssim`, `ssimulacra2`: metrics, on `windows`
- `summary`: means, published curves, BD-rate; `tables`: the same as text, CSV and JSON

Packages of the extra `eval` are imported where they are used; one that is missing is a
BitcodecError of one line.
"""
