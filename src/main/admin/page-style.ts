/**
 * The style of the status page.
 *
 * Role: a constant, sent within the page; its hash stands in the content security policy. Letters keep
 * their meaning without colours; every pair of colours has a contrast of 4.5 at least (WCAG 2.2 AA).
 */
export const STYLE = `:root{color-scheme:light dark;--bg:#f6f8fa;--card:#fff;--text:#1f2328;--dim:#59636e;--line:#d1d9e0;--accent:#0969da;--link:#0550ae;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--card:#161b22;--text:#e6edf3;--dim:#9ea7b3;--line:#30363d;--accent:#4493f8;--link:#79b8ff;--bad:#ff8f87}}
*{box-sizing:border-box}
body{margin:0;padding:1.25rem clamp(.75rem,2.5vw,2rem) 2rem;background:var(--bg);color:var(--text);font:14px/1.45 system-ui,sans-serif}
h1{font-size:1.35rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:1.75rem 0 .5rem}h3{font-size:.8rem;font-weight:600;margin:0;color:var(--dim)}
a{color:var(--link)}:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
p{margin:.35rem 0}.dim{color:var(--dim)}.bad{color:var(--bad);font-weight:600}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:baseline}header p{margin:0}header [data-part]{flex-basis:100%}
.tools{margin-left:auto;display:flex;gap:.75rem;align-items:baseline}
button,input,select{font:inherit;color:inherit;background:var(--card);border:1px solid var(--dim);border-radius:6px;padding:.2rem .55rem;max-width:100%}
button{cursor:pointer}
.cards{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));margin-top:.5rem}@media(min-width:800px){.cards{grid-template-columns:repeat(3,1fr)}}@media(min-width:1600px){.cards{grid-template-columns:repeat(6,1fr)}}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem .6rem;min-width:0}
.big{font-size:1.6rem;line-height:1.25;font-variant-numeric:tabular-nums;margin:.1rem 0}.big small{font-size:.85rem;color:var(--dim)}.big .bad{font-size:.85rem}
.card{display:flex;flex-direction:column}.card>div{flex:1;display:flex;flex-direction:column}.card p{font-variant-numeric:tabular-nums}
.spark{display:block;width:100%;height:36px;margin-top:auto;padding-top:.2rem}.spark polyline{fill:none;stroke:var(--accent);stroke-width:1.5;vector-effect:non-scaling-stroke;stroke-linejoin:round}
meter{width:100%;height:.7rem;display:block;margin:.2rem 0}
progress{width:4rem;height:.55rem;accent-color:var(--accent);vertical-align:middle}
.grid{font:600 13px/1.5 ui-monospace,monospace;letter-spacing:.28em;overflow-wrap:anywhere;word-break:break-all;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.6rem .75rem}
.grid b,.b{font:600 13px/1.5 ui-monospace,monospace;padding:.05em 0 .05em .28em;border-radius:2px;box-decoration-break:clone;-webkit-box-decoration-break:clone}
.b{display:inline-block;min-width:1.35em;padding:0 .28em;text-align:center;letter-spacing:0}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:.5rem 0;padding:0}
.l_,.lK{background:#d8dee4;color:#1f2328}.lS{background:#fff1b8;color:#3d2e00}.lW{background:#1a7f37;color:#fff}.lR{background:#0969da;color:#fff}.lG{background:#8250df;color:#fff}
.la{background:#ddf4ff;color:#0a3069}.lr{background:#80ccff;color:#0a2a50}.lQ{background:#b34700;color:#fff}.ls{background:#aceebb;color:#033a16}.lu{background:#6fdd8b;color:#03200d}
.lw{background:#0550ae;color:#fff}.lC{background:#ecd8ff;color:#3e1f79}.lc{background:#d2b0ff;color:#2e1461}.lx{background:#57606a;color:#fff}.lU{background:#8a4600;color:#fff}.ldot{background:none;color:var(--dim)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%}caption{text-align:left;padding:.5rem .75rem;color:var(--dim)}
th,td{padding:.28rem .75rem;text-align:right;white-space:nowrap;border-top:1px solid var(--line);font-variant-numeric:tabular-nums;font-weight:400}
#workers :is(th,td){padding-inline:.5rem}#workers :is(th,td):first-child{padding-left:.75rem}thead th{color:var(--dim);font-weight:600}thead a{color:inherit}
th:first-child,th:last-child,td:last-child,#workers :is(th,td):nth-child(3),#connections :is(th,td):is(:nth-child(2),:nth-child(3)),#trail :is(th,td){text-align:left}
td:last-child code{white-space:pre-wrap;overflow-wrap:anywhere;display:inline-block;min-width:14rem;max-width:44rem}
code{font:12.5px/1.4 ui-monospace,monospace}
tbody tr:hover{background:color-mix(in srgb,var(--accent) 8%,transparent)}
form{display:flex;flex-wrap:wrap;gap:.5rem .9rem;align-items:end;margin:.5rem 0 .75rem}
label{display:grid;gap:.1rem;font-size:.8rem;color:var(--dim)}label.row{display:flex;gap:.35rem;align-items:center}
label input,label select{font-size:14px;color:var(--text)}
input[name=limit],input[name=worker]{width:5.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
.two{display:grid;gap:0 2rem;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr))}
footer{margin-top:2rem;color:var(--dim)}
@media(max-width:520px){.tools{margin-left:0}th,td{padding:.28rem .5rem}label{flex:1 1 40%}label input,label select,input[name=limit],input[name=worker]{width:100%}label.row input{width:auto}label.row{flex-basis:100%}}`;
