(()=>{"use strict";
// Turns pixels of a plot into the values of its axes, and says them.
const round=(v,d)=>Number(v.toPrecision(d)).toString();
const time=us=>us<1e3?round(us,3)+" µs":us<1e6?round(us/1e3,3)+" ms":round(us/1e6,3)+" s";
const say={number:v=>Math.abs(v)>=1e3?Math.round(v).toLocaleString("en"):round(v,3),percent:v=>round(v*100,4)+" %",microseconds:time,seconds:v=>round(v,4)+" s"};
const axis=text=>{const[scale,from,to,low,high,reading]=text.split(",");
 const a={scale,reading,from:+from,to:+to,low:+low,high:+high};
 a.place=px=>a.low+(px-a.from)/(a.to-a.from)*(a.high-a.low);
 a.px=place=>a.from+(place-a.low)/(a.high-a.low)*(a.to-a.from);
 a.value=px=>{const p=a.place(px);return scale==="log"?10**p:scale==="tail"?1-10**-p:p};
 a.say=px=>scale==="tail"?(100*a.value(px)).toFixed(Math.max(0,Math.ceil(a.place(px))-1))+" %":say[reading](a.value(px));
 return a};
// A path is made of strokes: where each begins, then steps, level and upright ones by one number.
const strokes=d=>{const out=[];let x=0,y=0;
 for(const[,c,text]of d.matchAll(/([a-z])([^a-z]*)/gi)){const n=(text.match(/-?[\d.]+/g)||[]).map(Number);if(c==="M")x=y=0;
  for(let i=0;i<n.length;i+=c==="h"||c==="v"?1:2){x+=c==="v"?0:n[i];y+=c==="h"?0:c==="v"?n[i]:n[i+1];if(c==="M"||c==="m")out.push([]);out[out.length-1].push([x,y])}}
 return out};
// The point of a line at a place: of one of many strokes, that which lies there; of a single one the nearest of its points. In a
// gap, and further beyond an end than half a step, nothing was measured.
const point=(line,at)=>{if(line.length>1){const s=line.find(s=>s[0][0]<=at&&at<=s[s.length-1][0]);return s&&[at,s[0][1]]}
 const s=line[0],n=s.length,slack=(a,b)=>n>1?Math.abs(s[a][0]-s[b][0])/2+1:8;
 if(at<s[0][0]-slack(0,1)||at>s[n-1][0]+slack(n-1,n-2))return undefined;
 return s.reduce((best,p)=>Math.abs(p[0]-at)<Math.abs(best[0]-at)?p:best)};
const make=(svg,name,attributes)=>{const e=document.createElementNS(svg.namespaceURI,name);for(const k in attributes)e.setAttribute(k,attributes[k]);return e};
// Ticks between two places of an axis: [place, text].
const ticks=(a,low,high)=>{const out=[];
 if(a.scale==="tail"){for(let n=0;n<9;n++)for(const f of[1,.5,.2]){const q=1-f*10**-n,p=-Math.log10(1-q);if(q>0&&p>=low&&p<=high)out.push([p,Number((100*q).toPrecision(n+3))+" %"])}return out}
 const rough=(high-low)/5,power=10**Math.floor(Math.log10(rough)),step=[1,2,5,10].map(s=>s*power).find(s=>s>=rough);
 for(let i=Math.ceil(low/step);i*step<=high;i++)out.push([i*step,(i*step).toFixed(Math.max(0,-Math.floor(Math.log10(step))))]);return out};
// The cells of a map: what lies under a place of both axes, in words.
const cells=(text,y)=>{const[head,...columns]=text.split(";").map(part=>part.split(","));const[low,high,rows]=head.map(Number);
 return(seconds,place)=>{const column=columns.find(c=>+c[0]<=seconds&&seconds<=+c[1]);if(!column)return"nothing was measured";
  const counts=column.slice(2).map(Number),said=n=>n.toLocaleString("en")+(n===1?" request":" requests");
  if(place===undefined)return said(counts.reduce((a,b)=>a+b,0))+" in all";
  const row=Math.min(rows-1,Math.max(0,Math.floor((place-low)/(high-low)*rows))),edge=r=>say[y.reading](10**(low+r*(high-low)/rows));
  return edge(row)+" to "+edge(row+1)+": "+said(counts[row]||0)}};
const tip=document.createElement("div");tip.className="tip";tip.setAttribute("role","status");document.body.append(tip);
let zooms=false;
for(const svg of document.querySelectorAll("svg.plot")){
 const x=axis(svg.dataset.x),y=axis(svg.dataset.y),figure=svg.closest("figure");
 const paths=[...svg.querySelectorAll("[data-name]")],plane=svg.querySelector(".plane");
 if(x.scale==="names"||y.scale==="names")continue;
 svg.setAttribute("tabindex","0");
 const within=svg.dataset.counts&&cells(svg.dataset.counts,y);
 const can=x.reading==="seconds"||x.scale==="tail";zooms=zooms||can;
 // The stretch of the x axis that is shown, in pixels of the drawing as it was made.
 let view=[x.from,x.to],lines,rule,band,clip,own,at=x.from;
 const shown=px=>x.from+(px-view[0])/(view[1]-view[0])*(x.to-x.from);
 const drawn=px=>view[0]+(px-x.from)/(x.to-x.from)*(view[1]-view[0]);
 const ready=()=>{if(lines)return;lines=paths.map(p=>({name:p.dataset.name,strokes:strokes(p.getAttribute("d"))}));
  rule=make(svg,"path",{class:"muted line"});band=make(svg,"path",{class:"muted fill",opacity:.2});svg.append(band,rule)};
 const show=(px,py)=>{ready();at=Math.min(Math.max(px,view[0]),view[1]);
  // All lines are read at one place: where the nearest of their points lies.
  const near=lines.map(l=>point(l.strokes,at)).filter(p=>p).map(p=>p[0]),seen=near.length?near.reduce((a,b)=>Math.abs(b-at)<Math.abs(a-at)?b:a):at;
  const ruled=shown(Math.min(Math.max(seen,view[0]),view[1]));rule.setAttribute("d",`M${ruled} ${y.to}V${y.from}`);
  const rows=lines.length?lines.flatMap(l=>{const p=point(l.strokes,seen);return p?[l.name+" "+y.say(p[1])]:[]}):within?[within(x.value(at),py===undefined?py:y.place(Math.min(Math.max(py,y.to),y.from)))]:py===undefined?[]:[y.say(Math.min(Math.max(py,y.to),y.from))];
  if(lines.length&&!rows.length)rows.push("nothing was measured");
  tip.textContent=[x.say(seen),...rows].join("\n");tip.style.display="block";
  const box=svg.getBoundingClientRect(),k=box.width/svg.viewBox.baseVal.width;
  const left=box.left+ruled*k,w=tip.offsetWidth;
  tip.style.left=Math.min(Math.max(4,left+12+w>innerWidth-4?left-w-12:left+12),document.documentElement.clientWidth-w-4)+scrollX+"px";
  tip.style.top=box.top+scrollY+24+"px"};
 const hide=()=>{tip.style.display="none";if(rule){rule.removeAttribute("d");band.removeAttribute("d")}};
 const where=e=>{const box=svg.getBoundingClientRect(),k=svg.viewBox.baseVal.width/box.width;return[(e.clientX-box.left)*k,(e.clientY-box.top)*k]};
 svg.addEventListener("pointerleave",hide);svg.addEventListener("blur",hide);
 const all=document.createElement("button");all.type="button";all.className="zoom";all.textContent="show all";all.hidden=true;
 // Zoom along the x axis: the plane is stretched, ticks are made anew, words go where their points went.
 const zoom=(from,to)=>{ready();hide();
  const least=(x.to-x.from)/200,middle=(from+to)/2,half=Math.max(to-from,least)/2;
  view=[Math.max(x.from,middle-half),Math.min(x.to,middle+half)];
  if(!clip){clip=make(svg,"clipPath",{id:svg.id+"-clip"});clip.append(make(svg,"rect",{x:x.from,y:y.to-2,width:x.to-x.from,height:y.from-y.to+4}));
   const held=make(svg,"g",{"clip-path":`url(#${svg.id}-clip)`});plane.replaceWith(held);held.append(plane);svg.prepend(clip);
   own=make(svg,"g",{});svg.querySelector(".ticks").after(own)}
  const k=(x.to-x.from)/(view[1]-view[0]),whole=k<1.001;
  plane.setAttribute("transform",`translate(${x.from-view[0]*k} 0) scale(${k} 1)`);
  all.hidden=whole;svg.querySelector(".ticks").style.display=whole?"":"none";own.replaceChildren();
  let free=-1e9;if(!whole)for(const[place,text]of ticks(x,x.place(view[0]),x.place(view[1])).sort((a,b)=>a[0]-b[0])){const px=shown(x.px(place));if(px-24<free)continue;free=px+24;
   const t=make(svg,"text",{class:"muted fill",x:px,y:y.from+15.4,"font-size":13,"text-anchor":"middle"});t.textContent=text;
   own.append(make(svg,"path",{class:"grid line","stroke-width":1,d:`M${px} ${y.to}V${y.from}`}),t)}
  for(const note of svg.querySelectorAll(".notes text,.notes path")){const px=note.tagName==="text"?+note.getAttribute("x"):strokes(note.getAttribute("d"))[0][0][0];
   note.style.display=px<view[0]-4||px>view[1]+4?"none":"";note.setAttribute("transform",`translate(${shown(px)-px} 0)`)}};
 let began=null;
 svg.addEventListener("pointermove",e=>{const[px,py]=where(e);show(drawn(px),py);
  if(began!==null)band.setAttribute("d",`M${began} ${y.to}H${px}V${y.from}H${began}Z`)});
 svg.addEventListener("keydown",e=>{const step=(view[1]-view[0])/40,half=(view[1]-view[0])/4;
  if(e.key==="ArrowRight")show(at+step);else if(e.key==="ArrowLeft")show(at-step);else if(e.key==="Escape")hide();
  else if(can&&e.key==="+"){zoom(at-half,at+half);show(at)}else if(can&&e.key==="-"){zoom(at-4*half,at+4*half);show(at)}else if(can&&e.key==="0")zoom(x.from,x.to);else return;e.preventDefault()});
 if(!can)continue;
 svg.classList.add("zooms");
 svg.addEventListener("pointerdown",e=>{if(e.pointerType!=="touch"&&e.button===0){began=where(e)[0];svg.setPointerCapture(e.pointerId)}});
 const end=e=>{if(began===null)return;const from=began,to=where(e)[0];began=null;
  if(e.type==="pointerup"&&Math.abs(to-from)>6)zoom(drawn(Math.min(from,to)),drawn(Math.max(from,to)));else if(band)band.removeAttribute("d")};
 svg.addEventListener("pointerup",end);svg.addEventListener("pointercancel",end);
 svg.addEventListener("dblclick",()=>zoom(x.from,x.to));all.onclick=()=>{zoom(x.from,x.to);svg.focus()};figure.prepend(all);
}
for(const figure of document.querySelectorAll("figure")){
 const b=document.createElement("button");b.type="button";b.className="zoom enlarge";b.textContent="⤢";b.setAttribute("aria-label","enlarge");b.setAttribute("aria-pressed","false");
 b.onclick=()=>{const on=figure.classList.toggle("wide");b.setAttribute("aria-pressed",on);figure.scrollIntoView({block:"nearest"})};figure.prepend(b)}
// What scrolls can be reached, and nothing else.
const scrollers=root=>{for(const s of root.querySelectorAll(".scroll"))if(s.scrollWidth>s.clientWidth+1)s.setAttribute("tabindex","0");else s.removeAttribute("tabindex")};
addEventListener("toggle",e=>scrollers(e.target),true);addEventListener("resize",()=>scrollers(document));scrollers(document);
const first=document.querySelector("#joint,#evidence,#curves");
if(first&&zooms){const hint=document.createElement("p");hint.className="muted small tools";
 hint.textContent="Point at a plot to read its values. Over time and percentiles, drag to zoom and double-click to show all; on the keyboard: arrows, + and −, 0.";
 first.after(hint)}
const open=()=>{let e=location.hash&&document.getElementById(decodeURIComponent(location.hash.slice(1)));
 for(let p=e;p;p=p.parentElement)if(p.tagName==="DETAILS")p.open=true;if(e)e.scrollIntoView()};
addEventListener("hashchange",open);open();
addEventListener("beforeprint",()=>{for(const d of document.querySelectorAll("details:not(.figures)"))d.open=true});
})();
