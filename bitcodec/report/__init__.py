"""What an evaluation looks like: plots, and a page to look at pictures in.

- `plots`: rate against quality, rate against time, as PNG and SVG
- `viewer`: pictures of several codecs at one file size, as data for the page
- `page`: one self-contained HTML file from `template.html`, `page.css` and `page.js`
"""
