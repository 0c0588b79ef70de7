// Zoom, search and status line of a flame graph. Runs in the SVG alone, or inlined in a page.
(() => {
  const root = document.currentScript.closest('.fl-flame');
  const xhtml = 'http://www.w3.org/1999/xhtml', svg = 'http://www.w3.org/2000/svg';
  const status = root.querySelector('.fl-status');
  const frames = [...root.querySelectorAll('.fl-f')].map(el => ({
    el, name: el.dataset.n, depth: +el.dataset.d,
    x: parseFloat(el.getAttribute('x')), w: parseFloat(el.getAttribute('width')),
    title: el.querySelector('title').textContent,
  }));
  if (!frames.length) return;
  const byElement = new Map(frames.map(f => [f.el, f]));
  const epsilon = 1e-3;
  const inside = (f, z) => f.x >= z.x - epsilon && f.x + f.w <= z.x + z.w + epsilon;
  const short = name => {
    const cut = name.indexOf('['), end = name.lastIndexOf(']');
    const head = cut < 0 ? name : name.slice(0, cut);
    return head.slice(head.lastIndexOf('/') + 1) + (cut < 0 ? '' : '[…]' + name.slice(end + 1));
  };
  let zoomed = frames[0], wanted = null;

  const make = (kind, props) => Object.assign(document.createElementNS(xhtml, kind), props);
  const tools = root.querySelector('.fl-tools');
  const input = make('input', {type: 'search', placeholder: 'Search (/)', title: 'Function names; a regular expression'});
  input.setAttribute('aria-label', 'Search for function names');
  const reset = make('button', {textContent: 'Reset zoom', hidden: true});
  const share = make('span', {});
  tools.append(share, reset, input);

  const label = f => {
    if (f.el.querySelector('text')) return;
    const t = document.createElementNS(svg, 'text');
    t.setAttribute('x', 4);
    t.setAttribute('y', 13);
    t.textContent = short(f.name);
    f.el.append(t);
  };
  const zoom = z => {
    zoomed = z;
    for (const f of frames) {
      const above = f.depth < z.depth && inside(z, f);
      const shown = above || (f.depth >= z.depth && inside(f, z));
      f.el.style.display = shown ? '' : 'none';
      f.el.classList.toggle('fl-above', above);
      if (!shown) continue;
      const x = above ? 0 : (f.x - z.x) / z.w * 100, w = above ? 100 : f.w / z.w * 100;
      f.el.setAttribute('x', x + '%');
      f.el.setAttribute('width', w + '%');
      if (w > 0.2) label(f);
    }
    reset.hidden = z === frames[0];
    search();
  };
  // The share of what is shown that has a hit on its stack: hits below hits do not count twice.
  const search = () => {
    const text = input.value.trim();
    try { wanted = text ? new RegExp(text, 'i') : null; } catch { wanted = {test: s => s.toLowerCase().includes(text.toLowerCase())}; }
    root.classList.toggle('fl-searching', !!wanted);
    let sum = 0, outer = null;
    for (const f of frames) { // in the order of a walk, parents first
      const hit = !!wanted && f !== frames[0] && wanted.test(f.name);
      f.el.classList.toggle('fl-hit', hit);
      if (!hit || f.el.style.display === 'none') continue;
      if (outer && f.depth > outer.depth && inside(f, outer)) continue;
      outer = f;
      sum += f.el.classList.contains('fl-above') ? 100 : f.w / zoomed.w * 100;
    }
    share.textContent = wanted ? Math.min(sum, 100).toFixed(1) + ' %' : '';
  };
  const tell = f => { status.textContent = f ? f.title.replace(/\n/g, ' — ') : ''; };
  const at = event => byElement.get(event.target.closest('.fl-f'));

  frames.forEach(f => f.el.setAttribute('tabindex', f.w > 1 ? 0 : -1));
  root.addEventListener('click', event => { const f = at(event); if (f) zoom(f); });
  root.addEventListener('mouseover', event => tell(at(event)));
  root.addEventListener('focusin', event => tell(at(event)));
  root.addEventListener('keydown', event => {
    if (event.target === input) {
      if (event.key === 'Escape') { input.value = ''; search(); }
      event.stopPropagation();
      return;
    }
    const f = at(event);
    if (f && (event.key === 'Enter' || event.key === ' ')) { zoom(f); event.preventDefault(); }
  });
  document.addEventListener('keydown', event => {
    if (event.target.closest('input, textarea, select')) return;
    if (event.key === 'Escape') zoom(frames[0]);
    if (event.key === '/') { input.focus(); event.preventDefault(); }
  });
  reset.addEventListener('click', () => zoom(frames[0]));
  input.addEventListener('input', search);
})();
