/* Small conveniences; every page works without them.
 *   form[data-confirm="…"]     asks before it is sent
 *   button[data-copy="id"]     copies the text of that element
 *   [id][data-live="seconds"]  is fetched again with its page until it comes without data-live
 *   time[datetime]             gets the reader's own time as a tooltip
 *   form[data-upload="path"]   sends its file there as it is, the other fields as query, and shows how far it is in its progress and output
 *   .tabs                      is scrolled so that the present one is seen
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
	const upload = (form) => {
		const file = form.querySelector('input[type=file]').files[0];
		const bar = form.querySelector('progress');
		const output = form.querySelector('output');
		const query = new URLSearchParams();
		let csrf = '';
		for (const [name, value] of new FormData(form)) {
			if (name === 'csrf')
				csrf = value;
			else if (typeof value === 'string' && value)
				query.set(name, value);
		}
		const request = new XMLHttpRequest();
		const say = (text, problems) => {
			const list = document.createElement('ul');
			for (const problem of problems || [])
				list.append(Object.assign(document.createElement('li'), { textContent: problem }));
			output.replaceChildren(Object.assign(document.createElement('p'), { textContent: text }), list);
			bar.hidden = true;
			delete form.dataset.sent;
		};
		request.open('POST', form.dataset.upload + '?' + query);
		request.setRequestHeader('Content-Type', 'application/octet-stream');
		request.setRequestHeader('X-CSRF-Token', csrf);
		request.responseType = 'json';
		request.upload.addEventListener('progress', (event) => {
			if (event.lengthComputable)
				bar.value = event.loaded / event.total;
		});
		request.addEventListener('load', () => {
			const answer = request.response || {};
			if (request.status === 200)
				say(`${answer.approved} taken, ${answer.pending} wait for an admin, ${answer.duplicates} were there already, ${Math.max(answer.refused, answer.problems.length)} refused.`,
					answer.problems.slice(0, 20).map((p) => (/^Line \d/.test(p.detail) ? p.detail : `Line ${p.line}: ${p.detail}`)));
			else
				say(answer.detail || 'The upload failed.', (answer.errors || []).map((e) => e.detail));
		});
		request.addEventListener('error', () => say('The connection was lost. What was taken stays; send the file again for the rest.'));
		bar.value = 0;
		bar.hidden = false;
		request.send(file);
	};
	document.addEventListener('submit', (event) => {
		if (event.defaultPrevented || !event.target.dataset.upload)
			return;
		event.preventDefault();
		event.target.dataset.sent = 'yes';
		upload(event.target);
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

	/* On a phone the row of tabs scrolls: the present one is brought into it. */
	for (const tab of document.querySelectorAll('.tabs [aria-current]')) {
		const row = tab.closest('.tabs');
		row.scrollLeft = tab.offsetLeft - row.offsetLeft - (row.clientWidth - tab.offsetWidth) / 2;
	}

	localTimes(document);
	for (const part of document.querySelectorAll('[id][data-live]'))
		refresh(part.id, Number(part.dataset.live) || 5);
})();
