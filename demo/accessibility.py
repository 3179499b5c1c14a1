"""What a screen reader is told and gradio leaves out: which input a button belongs to, and what a picture shows.

Gradio's upload buttons, pictures and picture buttons have the same name, or none, in every component. Each is named
here after its component's label; what is drawn later, when a tab is opened or a result arrives, is named then.
"""

NAME_PARTS = """
() => {
  const name = () => {
    for (const label of document.querySelectorAll('.block > label[data-testid=block-label]')) {
      const block = label.parentElement, text = label.textContent.trim();
      block.setAttribute('role', 'group');
      block.setAttribute('aria-label', text);
      for (const image of block.querySelectorAll('img[alt=""]')) image.alt = text;
    }
    for (const row of document.querySelectorAll('.examples tbody tr')) {
      const titles = row.closest('table').querySelectorAll('th');
      row.querySelectorAll('td').forEach((cell, column) => cell.setAttribute('aria-label',
        `Example ${row.sectionRowIndex + 1}: ${titles[column]?.textContent.trim().toLowerCase()}`));
    }
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; name(); });
  }).observe(document.body, {childList: true, subtree: true});
  name();
}
"""
