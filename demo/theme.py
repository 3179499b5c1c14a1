"""How the app looks: one calm theme, one accent color, the system's own fonts."""

from typing import Any

from gradio import themes

from demo.settings import DemoSettings

THEME = themes.Base(
    primary_hue=themes.colors.teal,
    secondary_hue=themes.colors.teal,
    neutral_hue=themes.colors.stone,
    radius_size=themes.sizes.radius_md,
    font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_width="1px",
    block_shadow="none",
    block_label_border_width="0px",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_text_color="white",
    slider_color="*primary_600",
)

CSS = """
.gradio-container { width: 100% !important; max-width: 1280px !important; margin: 0 auto !important; }
.gradio-container .main { padding: 16px clamp(16px, 4vw, 32px) !important; }
.gradio-container :is(button, input, textarea, [tabindex]):focus-visible {
  outline: 2px solid var(--color-accent) !important; outline-offset: 1px; }
#head { align-items: center; flex-wrap: nowrap; gap: 12px; }
#head h1 { font-size: 1.35rem; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
#head p { margin: 0; color: var(--body-text-color-subdued); }
#device { text-align: right; color: var(--body-text-color-subdued); font-size: .85rem; }

.pair { flex-wrap: nowrap !important; }
.pair > * { min-width: 0 !important; }
.upload .wrap { font-size: .9rem; line-height: 1.4; }

.under { align-items: center; flex-wrap: nowrap !important; min-height: 44px; }
.progress-line { height: 38px; display: flex; flex-direction: column; justify-content: center; gap: 6px;
  font-variant-numeric: tabular-nums; }
.progress-line span { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.progress-line .bar { height: 4px; border-radius: 2px; background: var(--border-color-primary); overflow: hidden; }
.progress-line .bar div { height: 100%; background: var(--color-accent); transition: width .3s linear; }
.progress, .progress .html-container { min-height: 38px; padding: 0 2px !important; }
.progress .wrap.minimal { height: 38px !important; overflow: visible; }  /* shows the place in the queue */
.progress .wrap.minimal .progress-text { top: 2px; right: 2px; padding: 0; background: none; transform: none;
  font-family: inherit; font-size: .9rem; }
.progress .pending { opacity: .6; }
.progress .error, .progress .clear-status { display: none; }  /* the message is in the toast */
.compare { height: 440px; }
.compare .empty::after { content: "The result appears here"; color: var(--body-text-color-subdued); margin-left: 8px; }
.generating { border-color: transparent !important; animation: none !important; }

.more, .more > * { background: transparent; border: 0; }
.ask { padding: 2px !important; min-height: 30px; }
#picker img { cursor: crosshair; }

.style { display: none; }
.photos .wrap { font-size: 0; }
.photos .wrap .or { font-size: 0; }
.photos .wrap::after { content: "Drop a photo, or several\\a or click to choose"; white-space: pre; font-size: .9rem;
  line-height: 1.4; text-align: center; }
.own .pair { align-items: end; }
.cards .wrap { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; }
.cards label { flex-direction: column; align-items: stretch; gap: 0; padding: 0; overflow: hidden; cursor: pointer; }
.cards label::before { content: ""; aspect-ratio: 2; background: center / cover
  linear-gradient(135deg, var(--primary-50), var(--primary-200)); }  /* what has a thumbnail gets it */
.cards label:hover::before { filter: brightness(1.06); }
.cards label span { margin: 0; padding: 7px 10px; line-height: 1.3; }
.cards label.selected { outline: 2px solid var(--color-accent); outline-offset: -1px; background: transparent;
  color: inherit; }
.cards label:focus-within:has(:focus-visible) { outline: 3px solid var(--color-accent); }
.cards input { position: absolute; opacity: 0; }
.tiles .grid-wrap, .photos .grid-wrap { padding-top: 28px; }  /* the label has this line for itself */
.tiles .grid-container { gap: 6px; grid-template-columns: repeat(auto-fill, minmax(var(--tile, 88px), 1fr)); }
.tiles .caption-label { max-width: calc(100% - 2 * var(--block-label-margin)); padding: 2px 5px; font-size: .75rem; }
.tiles .empty::after { content: "The results appear here"; }
@media (min-width: 641px) {
  #class-results { --tile: 118px; }
  #class-results .grid-container:not(:has(> :nth-child(4))) { --tile: 200px; }
}
#hypotheses { --tile: 145px; border: 0; padding: 0; overflow: visible; }
#hypotheses .grid-wrap { padding: 2px; min-height: 0; }
#hypotheses .caption-label { white-space: normal; line-height: 1.25; text-align: left; }
#animation .html-container { padding: 0; }
#animation .strip { width: min(320px, 100%); margin: 0 auto; aspect-ratio: 1; border-radius: 8px;
  background-position: 0 0; animation: frames 2s infinite alternate; }
.player { align-items: center; flex-wrap: nowrap !important; }
.player > .form, .player > .form > .block { border: 0; background: transparent; padding: 0; }
@keyframes frames { to { background-position: 100% 0; } }
@media (prefers-reduced-motion: reduce) { #animation .strip:not(.asked) { animation: none !important; } }
.option-list { max-height: 260px; }
.levels .form { display: grid; grid-template-columns: 1fr 1fr; }
.notes { margin: 0; padding: 0 2px; list-style: none !important; font-size: .9rem; }
.notes li { color: var(--body-text-color-subdued) !important; }
.notes .failed { color: #dc4c4c !important; }

.facts * { font-family: var(--font) !important; }

.examples, .examples > * { padding-left: 0 !important; }
.examples .table-wrap { border: 0; background: transparent; padding: 0; }
.examples thead { display: none; }
.examples table, .examples tr, .examples td { border: 0; background: transparent; width: auto; }
.examples td { padding: 3px 6px 3px 0; }
.examples td .container { width: 92px; height: 62px; border: 0; }
.examples td img { width: 92px; height: 62px; object-fit: cover; border-radius: 6px; }
.examples tbody tr:hover img { filter: brightness(1.08); }

@media (max-width: 640px) {
  #device { display: none; }
  .tab-container button { padding: 0 4px !important; font-size: .82rem; }  /* all tabs fit beside each other */
  .tab > .column { display: contents; }
  .tab > .column > * { flex: 0 0 100%; min-width: 0; order: 1; }
  .tab > .column > .examples { order: 2; }
  .tab > .column > .advanced { order: 3; }
  .compare { height: 300px !important; }
  .under { flex-wrap: wrap !important; gap: 8px !important; }
  .under > * { flex: 1 1 0 !important; }
  .under > .progress { flex: 1 1 100% !important; }
  .player { flex-wrap: wrap !important; }
  .player > .form { flex: 1 1 100% !important; order: -1; }
  .player > button { flex: 1 1 0 !important; }
}
"""


def show_result(elem_id: str) -> str:
    """Return JavaScript that brings a result into view on a narrow screen, where it lies above the examples."""
    return f"() => innerWidth <= 640 && document.querySelector('#{elem_id}').scrollIntoView({{behavior: 'smooth'}})"


def launch_options(settings: DemoSettings) -> dict[str, Any]:
    """Return the arguments of `demo.launch`."""
    return {
        "theme": THEME,
        "css": CSS,
        "footer_links": ["api", "settings"],
        "run_history": False,
        "max_file_size": max(settings.max_upload_megabytes, settings.max_checkpoint_megabytes) * 2**20,
        "state_session_capacity": settings.max_sessions,
        "ssr_mode": False,
    }
