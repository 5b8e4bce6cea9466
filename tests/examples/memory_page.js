// Run within the page of inspect_memory by memory_page.sh: what a person does there, and what must be seen then.
window.addEventListener('load', () => {
    const failures = [], check = (holds, what) => holds || failures.push(what);
    const spans = [...document.querySelectorAll('#windows [role=button]')], rows = () => [...document.querySelectorAll('#found tbody tr')];
    const press = key => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const title = () => document.getElementById('title').textContent, kept = () => document.getElementById('pinned').textContent !== '';
    const position = () => Number(title().match(/^Byte (\d+)/)[1]);
    const is_kept = span => span.getAttribute('aria-pressed') === 'true';
    const hover = span => span.dispatchEvent(new MouseEvent('mouseenter'));

    check(spans.length === data.windows.reduce((sum, window) => sum + window.bytes.length, 0), 'a byte is missing');
    check(document.querySelectorAll('#windows h2').length === data.windows.length, 'a window has no heading');
    check(document.getElementById('legend').textContent.includes('other'), 'no legend');

    hover(spans[20]);
    check(position() === data.windows[0].first + 20, 'the byte under the mouse is not shown');
    spans[30].click();
    check(kept() && is_kept(spans[30]), 'a click does not keep a byte in view');
    hover(spans[40]);
    check(position() === data.windows[0].first + 30, 'a kept byte gives way to the mouse');

    spans[30].focus();
    press('ArrowRight');
    check(position() === data.windows[0].first + 31 && document.activeElement === spans[31], 'the right arrow does not move');
    const top = () => document.activeElement.getBoundingClientRect().top;
    spans[0].focus();
    const before = top();
    press('ArrowDown');
    check(top() > before, 'the down arrow stays in the line');
    press('ArrowUp');
    check(document.activeElement === spans[0], 'the up arrow does not come back');
    press('Escape');
    check(!kept(), 'Escape does not let go');
    press('Enter');
    check(kept(), 'Enter does not keep');
    press('End');
    check(document.activeElement === spans[spans.length - 1], 'End does not reach the last byte');
    check(spans.filter(span => span.tabIndex === 0).length === 1, 'the Tab key must reach one byte');

    const byte = data.windows[data.windows.length - 1].bytes.at(-1), select = document.getElementById('head');
    check(select.options.length === byte.length, 'a head is missing');
    select.value = byte.length - 1;
    select.dispatchEvent(new Event('change'));
    const {mass, found} = byte.at(-1), cells = rows()[0].textContent;
    check(rows().length === found.length && found.length > 0, 'an entry is missing');
    check(cells.includes(found[0][2].toFixed(3)), 'no kNN score');
    check(cells.includes(String(position() - found[0][0])), 'no distance');
    check(cells.includes(data.documents[found[0][1]]), 'no document');
    check(rows()[0].querySelector('mark').textContent === data.text[found[0][0] - data.start], 'another byte is marked');
    check(document.getElementById('mass').textContent.includes(percent(mass)), 'no mass of memory');
    check(/Focus score of the best entry: \d/.test(document.getElementById('focus').textContent), 'no Focus score');

    // Without colour: the two kinds of entries differ in their line, too. And a small screen scrolls downwards only.
    const line = kind => getComputedStyle(document.querySelector(`#legend .${kind}`)).borderBottomStyle;
    check(line('own') !== line('other'), 'the two kinds differ in colour only');
    check(document.documentElement.scrollWidth <= window.innerWidth, `the page is ${document.documentElement.scrollWidth} pixels wide`);
    for (const part of document.querySelectorAll('#windows, #windows pre, .scroll'))
        check(part.scrollWidth <= part.clientWidth, `${part.id || part.className} is ${part.scrollWidth} pixels wide`);

    document.body.dataset.verdict = failures.length === 0 ? 'all is there' : failures.join('; ');
});
