"""The style sheet of the page."""

from throughtime.reports.svg import GREY, INK, PALE, ROLE_COLOURS

CSS = f"""
:root {{
  color-scheme: light dark;
  --ink: {INK}; --grey: {GREY}; --line: {PALE}; --page: #fff; --panel: #f6f8fa;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6eaee; --grey: #9aa5b1; --line: #39424c; --page: #14181d; --panel: #1d2329; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--ink); }}
main {{ max-width: 984px; margin: 0 auto; padding: 56px 32px 72px; }}
h1 {{ font-size: 2rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25rem; line-height: 1.3; letter-spacing: -0.005em; margin: 0 0 12px; }}
section {{ margin-top: 56px; }}
p, ul {{ max-width: 44rem; }}
.task {{ margin: 10px 0 0; color: var(--grey); font-size: 1.0625rem; }}
header + section {{ margin-top: 40px; }}
header + section h2 {{ font-size: 1.5rem; margin-bottom: 6px; }}
.lead {{ margin: 0; }}
figure {{ margin: 24px 0 0; }}
figure .wide, figure .narrow {{ background: #fff; }}
figure svg {{ display: block; width: 100%; height: auto; font-variant-numeric: tabular-nums; }}
figcaption {{ margin-top: 12px; max-width: 44rem; color: var(--grey); font-size: 0.875rem; }}
.narrow, .key {{ display: none; }}
.key {{ list-style: none; flex-wrap: wrap; gap: 2px 18px; }}
figure .key {{ margin: 0 0 10px; padding: 0; font-size: 0.875rem; }}
i {{ display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 9px; }}
{"".join(f"i.{role} {{ background: {colour}; color: {colour}; }}" for role, colour in ROLE_COLOURS.items())}
.key i, i.ceiling {{
  width: 18px; height: 0; border-radius: 0; background: none; border-top: 3px solid; vertical-align: 0.25em;
}}
i.ceiling {{ border-top: 1px dashed var(--grey); }}
.key i.dashed {{ border-top-style: dashed; }}
.key i.dotted {{ border-top-style: dotted; }}
th i.ceiling {{ width: 10px; }}
.scroll {{ overflow-x: auto; margin-top: 28px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 0.875rem; font-variant-numeric: tabular-nums; }}
th, td {{
  padding: 8px 0 8px 13px; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line);
}}
td.list {{ white-space: normal; min-width: 8.5rem; }}
th:first-child {{ padding-left: 0; font-weight: 600; }}
thead th {{ color: var(--grey); font-weight: 400; vertical-align: bottom; }}
thead th:first-child {{ font-weight: 400; }}
th small {{ color: var(--grey); font-weight: 400; font-size: 0.8125rem; margin-left: 4px; }}
.number {{ text-align: right; }}
.reference th, .reference td {{ color: var(--grey); font-weight: 400; }}
tbody tr:last-child > * {{ border-bottom: 0; }}
pre {{ margin: 0; padding: 14px 16px; overflow-x: auto; background: var(--panel); border-radius: 6px; }}
pre, code {{ font: 0.8125rem/1.6 ui-monospace, Menlo, Consolas, "Liberation Mono", monospace; }}
pre.command {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
dl {{ display: flex; flex-wrap: wrap; gap: 12px 36px; margin: 20px 0; font-size: 0.875rem; }}
dt {{ color: var(--grey); }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
summary {{ cursor: pointer; color: var(--grey); font-size: 0.875rem; }}
details[open] summary {{ margin-bottom: 10px; }}
li {{ margin: 0 0 6px; }}
section > ul {{ margin: 0; padding-left: 1.2em; font-size: 0.9375rem; }}
@media (prefers-color-scheme: dark) {{
  figure .wide, figure .narrow {{ padding: 18px; border-radius: 8px; }}
}}
@media (max-width: 760px) {{
  main {{ padding: 32px 16px 48px; }}
  h1 {{ font-size: 1.6rem; }}
  .wide {{ display: none; }}
  .narrow {{ display: block; }}
  .narrow svg {{ max-width: 480px; }}
  .key {{ display: flex; }}
}}
@media print {{
  :root {{
    color-scheme: light;
    --ink: {INK}; --grey: {GREY}; --line: {PALE}; --page: #fff; --panel: #f6f8fa;
  }}
  main {{ padding: 0; max-width: none; }}
  .wide {{ display: block; }}
  .narrow, .key {{ display: none; }}
  figure .wide {{ padding: 0; }}
  section {{ margin-top: 28px; }}
  figure, tr, pre.command {{ break-inside: avoid; }}
  h2 {{ break-after: avoid; }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
  details::details-content {{ content-visibility: visible; block-size: auto; }}
  .scroll {{ overflow: visible; }}
  table {{ font-size: 0.6875rem; }}
  th, td {{ padding: 5px 0 5px 9px; }}
  th small {{ display: block; margin-left: 19px; font-size: 0.625rem; }}
}}
"""
