/* Small conveniences; every page works without them.
 *   form[data-confirm="…"]     asks before it is sent
 *   button[data-copy="id"]     copies the text of that element
 *   [id][data-live="seconds"]  is fetched again with its page until it comes without data-live
 *   time[datetime]             gets the reader's own time as a tooltip
 *   form                       is sent once, however often the button is pressed
 */
(() => {
	'use strict';

	document.addEventListener('submit', (event) => {
		const form = event.target;
		if (form.dataset.sent) {
			event.preventDefault();
			return;
		}
		const question = (event.submitter && event.submitter.dataset.confirm) || form.dataset.confirm;
		if (question && !window.confirm(question)) {
			event.preventDefault();
			return;
		}
		if (form.method === 'post')
			form.dataset.sent = 'yes';
	});
	window.addEventListener('pageshow', () => {
		for (const form of document.forms)
			delete form.dataset.sent;
	});

	document.addEventListener('click', async (event) => {
		const button = event.target.closest('button[data-copy]');
		const source = button && document.getElementById(button.dataset.copy);
		if (!source)
			return;
		const label = button.textContent;
		try {
			await navigator.clipboard.writeText((source.value || source.textContent).trim());
			button.textContent = button.dataset.copied || '✓';
		} catch {
			const range = document.createRange();
			range.selectNodeContents(source);
			getSelection().removeAllRanges();
			getSelection().addRange(range);
		}
		setTimeout(() => { button.textContent = label; }, 1500);
	});

	const localTimes = (within) => {
		for (const time of within.querySelectorAll('time[datetime]')) {
			const at = new Date(time.dateTime);
			if (!time.title && !isNaN(at) && time.dateTime.includes('T'))
				time.title = at.toLocaleString(document.documentElement.lang || undefined, { dateStyle: 'full', timeStyle: 'short' });
		}
	};

	const refresh = async (id, seconds) => {
		await new Promise((done) => setTimeout(done, seconds * 1000));
		const old = document.getElementById(id);
		if (!old)
			return;
		if (document.hidden || old.contains(document.activeElement)) {
			refresh(id, seconds);
			return;
		}
		try {
			const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
			const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
			const fresh = answer.ok && page.getElementById(id);
			if (fresh) {
				old.replaceWith(fresh);
				localTimes(fresh);
				if (fresh.dataset.live)
					refresh(id, Number(fresh.dataset.live) || seconds);
				return;
			}
		} catch {
			/* The connection comes back or it does not: the next round sees. */
		}
		refresh(id, Math.min(seconds * 2, 60));
	};

	localTimes(document);
	for (const part of document.querySelectorAll('[id][data-live]'))
		refresh(part.id, Number(part.dataset.live) || 5);
})();
