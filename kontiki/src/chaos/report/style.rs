//! The page's style sheet: one file with everything in it, legible in light and in dark.

/// All of it.
pub(super) const SHEET: &str = r#"
:root{color-scheme:light dark;--page:#f7f6f3;--card:#fff;--ink:#1c1e21;--soft:#62666d;--line:#e3e1dc;--grid:#eceae5;
--good:#1a7f4b;--good-soft:#e2f3e9;--bad:#c2293b;--bad-soft:#fbe4e6;--band:#e8a33d26;--fault:#d98a1f;--fault-soft:#f2c98c;
--etcd:#2563c9;--api:#8a4fc4;--probe:#1a8f7a;--h1:#2f6fdb;--h2:#e0782f;--h3:#8a4fc4;--h4:#1a8f7a;--h5:#b8456b}
@media (prefers-color-scheme:dark){:root{--page:#131519;--card:#1b1e24;--ink:#e8e9ec;--soft:#9aa0aa;--line:#2d323b;--grid:#262a32;
--good:#4ecb8b;--good-soft:#173326;--bad:#ff6b7a;--bad-soft:#3d1a20;--band:#e8a33d22;--fault:#eba745;--fault-soft:#7d5a22;
--etcd:#6ea3ff;--api:#bf93f2;--probe:#4fd0b8;--h1:#6ea3ff;--h2:#f59c5c;--h3:#bf93f2;--h4:#4fd0b8;--h5:#ec86a8}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:36px 28px 60px}
header .kicker{color:var(--soft);font-size:13px;letter-spacing:.04em}
h1{font-size:27px;line-height:1.25;margin:6px 0 4px;font-weight:650;letter-spacing:-.01em}
h2{font-size:17px;margin:38px 0 4px;font-weight:650}
p.note{margin:0 0 12px;color:var(--soft);font-size:13.5px;max-width:82ch}
.badge{display:inline-block;padding:2px 12px 3px;border-radius:99px;font-weight:650;font-size:14px;margin-right:10px;vertical-align:4px}
.badge.good{background:var(--good-soft);color:var(--good)}.badge.bad{background:var(--bad-soft);color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:22px 0 4px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:13px 16px 12px}
.card b{display:block;font-size:25px;font-weight:650;line-height:1.2;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.card span{display:block;color:var(--soft);font-size:12.5px;line-height:1.4;margin-top:2px}.card.bad b{color:var(--bad)}.card.good b{color:var(--good)}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 10px 8px;overflow-x:auto}
svg{display:block;width:100%;min-width:820px;height:auto;font:11.5px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .grid{stroke:var(--grid);stroke-width:1}svg .axis{stroke:var(--line)}
svg .band{fill:var(--band)}svg .lane{font-weight:600;font-size:12.5px}svg .badtext{fill:var(--bad);font-weight:600}
svg .onbar{fill:#fff;font-weight:600}
@media (prefers-color-scheme:dark){svg .onbar{fill:#14161a}}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden;font-size:13.5px}
th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;font-size:12.5px;white-space:nowrap}tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.w{white-space:nowrap}
td .ok{color:var(--good);font-weight:700}td .no,td.no{color:var(--bad);font-weight:600}
pre{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 16px;overflow-x:auto;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;white-space:pre-wrap;word-break:break-word;margin:0}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;color:var(--soft);font-size:12.5px;margin:2px 8px 8px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
footer{margin-top:34px;color:var(--soft);font-size:12.5px}
@media print{body{background:#fff}main{padding:0}}
"#;
